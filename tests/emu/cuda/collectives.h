// Barriers, shuffles and votes.
#pragma once

#include <cstdint>
#include <cstring>
#include <type_traits>

#include "../device.h"

namespace emu {

struct ShuffleOperand {
  std::uint64_t value, result;
  unsigned source;
};

/// Every lane of the mask gets the value that lane `source` of it brings.
template <class T>
T shuffle(const char* name, unsigned mask, T value, unsigned source) {
  static_assert(sizeof(T) <= 8 && std::is_trivially_copyable_v<T>);
  ShuffleOperand mine{0, 0, source};
  std::memcpy(&mine.value, &value, sizeof value);
  warp_collective(name, mask, &mine, [](Lanes& lanes) {
    for (unsigned l = 0; l < 32; ++l) {
      auto* lane = lanes.get<ShuffleOperand>(l);
      if (lane == nullptr) continue;
      const auto* from = lanes.get<ShuffleOperand>(lane->source);
      if (from == nullptr) {
        fail("shuffle: lane %u reads lane %u, which is not in the mask %08x", l, lane->source,
             lanes.mask);
      }
      lane->result = from->value;
    }
  });
  std::memcpy(static_cast<void*>(&value), &mine.result, sizeof value);
  return value;
}

struct VoteOperand {
  bool predicate;
  unsigned result;
};

inline unsigned ballot(const char* name, unsigned mask, bool predicate) {
  VoteOperand mine{predicate, 0};
  warp_collective(name, mask, &mine, [](Lanes& lanes) {
    unsigned result = 0;
    for (unsigned l = 0; l < 32; ++l) {
      const auto* lane = lanes.get<VoteOperand>(l);
      if (lane != nullptr && lane->predicate) result |= 1U << l;
    }
    for (unsigned l = 0; l < 32; ++l) {
      if (auto* lane = lanes.get<VoteOperand>(l)) lane->result = result;
    }
  });
  return mine.result;
}

}  // namespace emu

inline void __syncthreads() {
  emu::barrier_sync(0, 0);
}
inline int __syncthreads_count(int predicate) {
  return static_cast<int>(emu::barrier_vote(predicate != 0).count);
}
inline int __syncthreads_and(int predicate) {
  return emu::barrier_vote(predicate != 0).all;
}
inline int __syncthreads_or(int predicate) {
  return emu::barrier_vote(predicate != 0).any;
}
inline void __syncwarp(unsigned mask = 0xffffffffU) {
  emu::sync_warp(mask);
}

// Threads run one at a time: memory is always up to date.
inline void __threadfence() {}
inline void __threadfence_block() {}
inline void __threadfence_system() {}
inline void __nanosleep(unsigned) {
  emu::nanosleep();
}
[[noreturn]] inline void __trap() {
  emu::fail("__trap()");
}

// `width` lanes form a segment; sources outside of it give a lane its own value.
template <class T>
T __shfl_sync(unsigned mask, T value, int source, int width = 32) {
  const unsigned lane = emu::self().lane, segment = lane & ~static_cast<unsigned>(width - 1);
  return emu::shuffle("__shfl_sync", mask, value,
                      segment | static_cast<unsigned>(source & (width - 1)));
}
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int with, int width = 32) {
  const unsigned lane = emu::self().lane, last = lane | static_cast<unsigned>(width - 1);
  const unsigned source = lane ^ static_cast<unsigned>(with);
  return emu::shuffle("__shfl_xor_sync", mask, value, source <= last ? source : lane);
}
template <class T>
T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32) {
  const unsigned lane = emu::self().lane, last = lane | static_cast<unsigned>(width - 1);
  return emu::shuffle("__shfl_down_sync", mask, value, lane + delta <= last ? lane + delta : lane);
}
template <class T>
T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32) {
  const unsigned lane = emu::self().lane, first = lane & ~static_cast<unsigned>(width - 1);
  return emu::shuffle("__shfl_up_sync", mask, value, lane >= first + delta ? lane - delta : lane);
}

inline unsigned __ballot_sync(unsigned mask, int predicate) {
  return emu::ballot("__ballot_sync", mask, predicate != 0);
}
inline int __any_sync(unsigned mask, int predicate) {
  return emu::ballot("__any_sync", mask, predicate != 0) != 0;
}
inline int __all_sync(unsigned mask, int predicate) {
  return emu::ballot("__all_sync", mask, predicate == 0) == 0;
}

inline std::size_t __cvta_generic_to_shared(const void* p) {
  return emu::shared_address(p);
}
