// Our own back end for -fsanitize=thread: kernels are compiled with it and libtsan is not linked,
// so that every load and store of kernel code comes here and feeds the race checker.
#include <cstring>

#include "state.h"

namespace {

template <class T>
void volatile_read(const void* p) {
  emu::on_read(p, sizeof(T));
  // A loop that reads until the value changes must let the others run.
  T value;
  std::memcpy(&value, p, sizeof value);
  std::uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof bits < sizeof value ? sizeof bits : sizeof value);
  if (emu::current != nullptr) emu::polled(p, bits);
}

}  // namespace

// The names and the arguments are the compiler's.
// NOLINTBEGIN(readability-identifier-naming)
extern "C" {

void __tsan_init() {
  emu::checking_races = true;
}
void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}
void __tsan_vptr_update(void**, void*) {}
void __tsan_vptr_read(void**) {}
void __tsan_read_range(void* p, std::size_t bytes) {
  emu::on_read(p, bytes);
}
void __tsan_write_range(void* p, std::size_t bytes) {
  emu::on_write(p, bytes);
}
void __tsan_atomic_thread_fence(int) {}
void __tsan_atomic_signal_fence(int) {}

#define EMU_ACCESS(BYTES, TYPE)                          \
  void __tsan_read##BYTES(void* p) {                     \
    emu::on_read(p, BYTES);                              \
  }                                                      \
  void __tsan_write##BYTES(void* p) {                    \
    emu::on_write(p, BYTES);                             \
  }                                                      \
  void __tsan_unaligned_read##BYTES(void* p) {           \
    emu::on_read(p, BYTES);                              \
  }                                                      \
  void __tsan_unaligned_write##BYTES(void* p) {          \
    emu::on_write(p, BYTES);                             \
  }                                                      \
  void __tsan_volatile_read##BYTES(void* p) {            \
    volatile_read<TYPE>(p);                              \
  }                                                      \
  void __tsan_volatile_write##BYTES(void* p) {           \
    emu::on_write(p, BYTES);                             \
  }                                                      \
  void __tsan_unaligned_volatile_read##BYTES(void* p) {  \
    volatile_read<TYPE>(p);                              \
  }                                                      \
  void __tsan_unaligned_volatile_write##BYTES(void* p) { \
    emu::on_write(p, BYTES);                             \
  }

struct Sixteen {
  char bytes[16];
};
EMU_ACCESS(1, std::uint8_t)
EMU_ACCESS(2, std::uint16_t)
EMU_ACCESS(4, std::uint32_t)
EMU_ACCESS(8, std::uint64_t)
EMU_ACCESS(16, Sixteen)

// Atomics count as reads: what threads wrote before must be ordered with them, and what they write
// afterwards, too.
#define EMU_ATOMIC(BITS, TYPE)                                                                    \
  TYPE __tsan_atomic##BITS##_load(const TYPE* p, int) {                                           \
    emu::on_read(p, sizeof(TYPE));                                                                \
    return __atomic_load_n(p, __ATOMIC_SEQ_CST);                                                  \
  }                                                                                               \
  void __tsan_atomic##BITS##_store(TYPE* p, TYPE value, int) {                                    \
    emu::on_read(p, sizeof(TYPE));                                                                \
    __atomic_store_n(p, value, __ATOMIC_SEQ_CST);                                                 \
  }                                                                                               \
  int __tsan_atomic##BITS##_compare_exchange_strong(TYPE* p, TYPE* expected, TYPE value, int,     \
                                                    int) {                                        \
    emu::on_read(p, sizeof(TYPE));                                                                \
    return __atomic_compare_exchange_n(p, expected, value, false, __ATOMIC_SEQ_CST,               \
                                       __ATOMIC_SEQ_CST);                                         \
  }                                                                                               \
  TYPE __tsan_atomic##BITS##_compare_exchange_val(TYPE* p, TYPE expected, TYPE value, int, int) { \
    emu::on_read(p, sizeof(TYPE));                                                                \
    __atomic_compare_exchange_n(p, &expected, value, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);  \
    return expected;                                                                              \
  }                                                                                               \
  TYPE __tsan_atomic##BITS##_fetch_add(TYPE* p, TYPE value, int) {                                \
    emu::on_read(p, sizeof(TYPE));                                                                \
    return __atomic_fetch_add(p, value, __ATOMIC_SEQ_CST);                                        \
  }

EMU_ATOMIC(8, std::uint8_t)
EMU_ATOMIC(16, std::uint16_t)
EMU_ATOMIC(32, std::uint32_t)
EMU_ATOMIC(64, std::uint64_t)

}  // extern "C"
// NOLINTEND(readability-identifier-naming)
