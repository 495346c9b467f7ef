// AssemblyScript, not TypeScript: compiled by `npm run build:wasm` into checksum.wasm.ts. Its TypeScript twin, and the
// oracle of its test, is ../checksum.ts.

/**
 * Ones'-complement sum of `length` octets at `at` (RFC 1071), taken as big-endian 16-bit words with an odd last octet
 * padded by zero, plus `seed`; folded to 16 bits, not complemented.
 *
 * RFC 1071 section 2 (B): the sum does not depend on byte order, so words are added as the little-endian numbers that
 * memory gives and the result is swapped once.
 */
export function sum(at: usize, length: i32, seed: u32): u32 {
  let p = at
  let left = length
  let wide = i64x2.splat(0)
  // A lane of 32 bits takes 2 x 65535 a step: 32 768 steps of 16 octets fit, half a MiB, above any packet.
  if (left >= 64) {
    let a = i32x4.splat(0)
    let b = i32x4.splat(0)
    while (left >= 64) {
      a = i32x4.add(a, i32x4.extadd_pairwise_i16x8_u(v128.load(p)))
      b = i32x4.add(b, i32x4.extadd_pairwise_i16x8_u(v128.load(p, 16)))
      a = i32x4.add(a, i32x4.extadd_pairwise_i16x8_u(v128.load(p, 32)))
      b = i32x4.add(b, i32x4.extadd_pairwise_i16x8_u(v128.load(p, 48)))
      p += 64
      left -= 64
    }
    wide = i64x2.add(
      i64x2.add(i64x2.extend_low_i32x4_u(a), i64x2.extend_high_i32x4_u(a)),
      i64x2.add(i64x2.extend_low_i32x4_u(b), i64x2.extend_high_i32x4_u(b)),
    )
  }
  let total: u64 = (i64x2.extract_lane(wide, 0) + i64x2.extract_lane(wide, 1)) as u64
  while (left >= 4) {
    total += load<u32>(p) as u64
    p += 4
    left -= 4
  }
  if (left >= 2) {
    total += load<u16>(p) as u64
    p += 2
    left -= 2
  }
  if (left == 1) total += load<u8>(p) as u64
  total = (total & 0xffffffff) + (total >>> 32)
  total = (total & 0xffff) + ((total >>> 16) & 0xffff) + (total >>> 32)
  let s = total as u32
  s = (s & 0xffff) + (s >>> 16)
  s = (s & 0xffff) + (s >>> 16)
  s = ((s & 0xff) << 8) | (s >>> 8) // to big-endian words
  let r: u64 = (s as u64) + (seed as u64)
  r = (r & 0xffff) + (r >>> 16)
  r = (r & 0xffff) + (r >>> 16)
  return ((r & 0xffff) + (r >>> 16)) as u32
}
