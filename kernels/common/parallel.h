// Loops over the CPU's threads. Not part of the public interface: code that includes it must be
// compiled as the library is, with or without OpenMP.
#pragma once

#include <algorithm>
#include <cstdint>
#include <exception>

#if defined(_OPENMP)
#include <omp.h>
#endif

namespace minidl::kernels {

/// Threads that CPU kernels use: OpenMP's setting (OMP_NUM_THREADS, `set_num_threads`).
inline int max_threads() {
#if defined(_OPENMP)
  return omp_get_max_threads();
#else
  return 1;
#endif
}

inline void set_num_threads(int count) {
#if defined(_OPENMP)
  omp_set_num_threads(std::max(count, 1));
#else
  (void)count;
#endif
}

/// Calls `body(begin, end)` on disjoint ranges that cover 0..count-1, one range per thread, each of
/// at least `grain` (short loops run inline). The split depends on count, grain and the number of
/// threads only. `body` must not throw across threads' borders: the first exception is rethrown.
template <class Body>
void parallel_for(std::int64_t count, std::int64_t grain, const Body& body) {
  if (count <= 0) return;
  grain = std::max<std::int64_t>(grain, 1);
#if defined(_OPENMP)
  const auto wanted =
      static_cast<int>(std::min<std::int64_t>(max_threads(), (count + grain - 1) / grain));
  if (wanted > 1 && !omp_in_parallel()) {
    std::exception_ptr error;
#pragma omp parallel num_threads(wanted)
    {
      const std::int64_t threads = omp_get_num_threads();
      const std::int64_t id = omp_get_thread_num();
      const std::int64_t begin = count * id / threads;
      const std::int64_t end = count * (id + 1) / threads;
      try {
        if (begin < end) body(begin, end);
      } catch (...) {
#pragma omp critical(minidl_parallel_for)
        if (!error) error = std::current_exception();
      }
    }
    if (error) std::rethrow_exception(error);
    return;
  }
#endif
  body(std::int64_t{0}, count);
}

}  // namespace minidl::kernels
