// Atomic operations. One that changes nothing may be part of a loop that waits: see polled().
#pragma once

#include <cstdint>
#include <cstring>
#include <type_traits>

#include "../device.h"

namespace emu {

/// Replaces *p by change(*p); returns what was there.
template <class T, class Change>
T atomic(T* p, Change change) {
  static_assert(sizeof(T) == 2 || sizeof(T) == 4 || sizeof(T) == 8);
  using Bits = std::conditional_t<sizeof(T) == 2, std::uint16_t,
                                  std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>>;
  auto* bits = reinterpret_cast<Bits*>(p);
  Bits before = __atomic_load_n(bits, __ATOMIC_RELAXED);
  for (;;) {
    T value;
    std::memcpy(static_cast<void*>(&value), &before, sizeof value);
    const T changed = change(value);
    Bits after;
    std::memcpy(&after, &changed, sizeof after);
    if (__atomic_compare_exchange_n(bits, &before, after, false, __ATOMIC_RELAXED,
                                    __ATOMIC_RELAXED)) {
      if (before == after) polled(p, before);
      return value;
    }
  }
}

template <class T>
using Exactly = std::common_type_t<T>;  // not deduced from this argument

}  // namespace emu

template <class T>
T atomicAdd(T* p, emu::Exactly<T> value) {
  return emu::atomic(p, [=](T x) { return static_cast<T>(x + value); });
}
template <class T>
T atomicSub(T* p, emu::Exactly<T> value) {
  return emu::atomic(p, [=](T x) { return static_cast<T>(x - value); });
}
template <class T>
T atomicMax(T* p, emu::Exactly<T> value) {
  return emu::atomic(p, [=](T x) { return x < value ? value : x; });
}
template <class T>
T atomicMin(T* p, emu::Exactly<T> value) {
  return emu::atomic(p, [=](T x) { return value < x ? value : x; });
}
template <class T>
T atomicExch(T* p, emu::Exactly<T> value) {
  return emu::atomic(p, [=](T) { return value; });
}
template <class T>
T atomicCAS(T* p, emu::Exactly<T> expected, emu::Exactly<T> value) {
  return emu::atomic(p, [=](T x) { return x == expected ? value : x; });
}
template <class T>
T atomicAnd(T* p, emu::Exactly<T> value) {
  return emu::atomic(p, [=](T x) { return static_cast<T>(x & value); });
}
template <class T>
T atomicOr(T* p, emu::Exactly<T> value) {
  return emu::atomic(p, [=](T x) { return static_cast<T>(x | value); });
}
template <class T>
T atomicXor(T* p, emu::Exactly<T> value) {
  return emu::atomic(p, [=](T x) { return static_cast<T>(x ^ value); });
}
inline unsigned atomicInc(unsigned* p, unsigned limit) {
  return emu::atomic(p, [=](unsigned x) { return x >= limit ? 0U : x + 1; });
}
inline unsigned atomicDec(unsigned* p, unsigned limit) {
  return emu::atomic(p, [=](unsigned x) { return x == 0 || x > limit ? limit : x - 1; });
}
