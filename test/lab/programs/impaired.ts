import { readFileSync } from 'node:fs'
import { run } from '../../../src/cli/run.js'
import { Gateway } from '../../../src/daemon/gateway.js'
import type { IkeEnvironment } from '../../../src/ike/environment.js'
import { Ike } from '../../../src/ike/ike.js'
import { Impairer } from '../impair/impairer.js'
import { parseRules } from '../impair/rules.js'

// The daemon, with an impairer around its IKE: `node impaired.js RULES.json up -c CONFIG`. The product knows nothing of it and has no
// place for it: it is put between the gateway and its IKE from outside.

interface Inside {
  environment(...args: unknown[]): IkeEnvironment
}

const [rulesFile, ...args] = process.argv.slice(2)
const impairer = new Impairer(parseRules(readFileSync(rulesFile ?? '', 'utf8')), {
  later: (ms, go) => void setTimeout(go, ms),
})

const gateway = Gateway.prototype as unknown as Inside
const { environment } = gateway
gateway.environment = function (this: Inside, ...given) {
  return impairer.wrap(environment.apply(this, given))
}

const { receive } = Ike.prototype
Ike.prototype.receive = function (this: Ike, now, local, remote, message) {
  impairer.observe(new Uint8Array(message))
  receive.call(this, now, local, remote, message)
}

process.exit(await run(args))
