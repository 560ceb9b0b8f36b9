#include "minidl/kernels/cpu/vector_rows.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <numeric>

// Everything is written once, without calls and branches in the loops, and compiled for several
// instruction sets, of which the first one that the machine has is taken.

namespace minidl::kernels::cpu {
namespace {

#define MINIDL_INLINE [[gnu::always_inline]] inline

/// e^x for x <= 0 and a little above, by 2^n e^r with |r| <= ln(2) / 2 and Cephes's polynomial.
MINIDL_INLINE float exp_below_one(float x) {
  constexpr float kLowest = -87.0f;         // e^x is subnormal from -87.34 on
  constexpr float kToInteger = 12582912.f;  // 1.5 * 2^23: what is added to it loses its fraction
  const float shifted = x * 1.44269504f + kToInteger;
  const float n = shifted - kToInteger;
  const float r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
  float sum = 1.9875691500e-4f;
  sum = sum * r + 1.3981999507e-3f;
  sum = sum * r + 8.3334519073e-3f;
  sum = sum * r + 4.1665795894e-2f;
  sum = sum * r + 1.6666665459e-1f;
  sum = sum * r + 5.0000001201e-1f;
  sum = sum * r * r + r + 1.0f;
  const std::uint32_t exponent = (std::bit_cast<std::uint32_t>(shifted) << 23) + (127u << 23);
  const float result = sum * std::bit_cast<float>(exponent);
  const std::uint32_t kept = x < kLowest ? 0u : ~0u;  // a choice of floats would become a branch
  return std::bit_cast<float>(std::bit_cast<std::uint32_t>(result) & kept);
}
MINIDL_INLINE double exp_below_one(double x) {
  return std::exp(x);
}

/// f over a row, in parts side by side that are put together at the end.
template <class T, class F>
MINIDL_INLINE T fold(const T* row, std::int64_t count, T start, const F& f) {
  constexpr std::int64_t kParts = 16;
  T parts[kParts];
  std::fill_n(parts, kParts, start);
  std::int64_t i = 0;
  for (; i + kParts <= count; i += kParts) {
    for (std::int64_t part = 0; part < kParts; ++part) {
      parts[part] = f(parts[part], row[i + part]);
    }
  }
  for (; i < count; ++i) parts[0] = f(parts[0], row[i]);
  T result = start;
  for (const T part : parts) result = f(result, part);
  return result;
}

struct Largest {
  template <class T>
  MINIDL_INLINE static T run(const T* row, std::int64_t count) {
    return fold(
        row, count, -std::numeric_limits<T>::infinity(),
        [](T a, T b) __attribute__((always_inline)) { return a < b ? b : a; });
  }
};

struct Exponentials {
  template <class T>
  MINIDL_INLINE static T run(T* row, std::int64_t count, T base) {
    for (std::int64_t i = 0; i < count; ++i) row[i] = exp_below_one(row[i] - base);
    return fold(
        row, count, T{0}, [](T a, T b) __attribute__((always_inline)) { return a + b; });
  }
};

struct KeepWhere {
  template <class T>
  MINIDL_INLINE static void run(const bool* flags, T* row, std::int64_t count) {
    constexpr T kNothing = -std::numeric_limits<T>::infinity();
    for (std::int64_t i = 0; i < count; ++i) row[i] = flags[i] ? row[i] : kNothing;
  }
};

#if defined(__x86_64__) && defined(__GNUC__)

template <class Loop, class... Args>
[[gnu::target("avx512f,avx512bw,avx512vl,avx512dq")]] auto with_avx512(Args... args) {
  return Loop::run(args...);
}
template <class Loop, class... Args>
[[gnu::target("avx2,fma")]] auto with_avx2(Args... args) {
  return Loop::run(args...);
}

template <class Loop, class... Args>
auto run(Args... args) {
  static const bool has_avx512 =
      __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
  static const bool has_avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  if (has_avx512) return with_avx512<Loop>(args...);
  if (has_avx2) return with_avx2<Loop>(args...);
  return Loop::run(args...);
}

#else

template <class Loop, class... Args>
auto run(Args... args) {
  return Loop::run(args...);
}

#endif

}  // namespace

float largest_of(const float* row, std::int64_t count) {
  return run<Largest>(row, count);
}
double largest_of(const double* row, std::int64_t count) {
  return run<Largest>(row, count);
}

float exponentials(float* row, std::int64_t count, float base) {
  return run<Exponentials>(row, count, base);
}
double exponentials(double* row, std::int64_t count, double base) {
  return run<Exponentials>(row, count, base);
}

void keep_where(const bool* flags, float* row, std::int64_t count) {
  run<KeepWhere>(flags, row, count);
}
void keep_where(const bool* flags, double* row, std::int64_t count) {
  run<KeepWhere>(flags, row, count);
}

}  // namespace minidl::kernels::cpu
