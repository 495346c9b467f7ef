import type { GatewayConfig } from './config/config.js'
export async function runDaemon(_config: GatewayConfig, _options: { version: string }): Promise<number> {
  return 1
}
