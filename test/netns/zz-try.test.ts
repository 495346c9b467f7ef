import { test } from 'vitest'
import { PrivateNetns } from '../lab/private-netns.js'
import { withNetlink } from '../../src/net/netlink.js'
import { linkByIndex, linkByName, reach } from '../../src/net/links.js'
import { concat } from '../../src/bytes/octets.js'
import { encodeAttributes } from '../../src/net/netlink-message.js'
import { parseIp } from '../../src/wire/ip-address.js'
test('x', () => {
  const n = PrivateNetns.enter()
  n.ip('link set lo up')
  withNetlink('route', (s) => {
    console.log(linkByIndex(s, 1))
    console.log(reach(s, parseIp('127.0.0.1')!, 0))
    console.log(s.ask('x', {type: 26, flags: 0, body: concat(Uint8Array.of(2,32,0,0,0,0,0,0,0,0,0,0), encodeAttributes([[1, parseIp('127.0.0.1')!]]))}))
  })
  n.leave()
})
