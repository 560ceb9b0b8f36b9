// Means and variances in one pass. Not part of the public interface.
#pragma once

#include "minidl/kernels/cuda/reduction_kernels.cuh"

namespace minidl::kernels::cuda {

/// Count, mean and sum of squared deviations of a set of values.
struct Moments {
  double count, mean, squares;

  /// Joins two sets (Chan, Golub and LeVeque 1979).
  __device__ void merge(const Moments& other) {
    if (other.count == 0) return;
    const double total = count + other.count;
    const double delta = other.mean - mean;
    const double share = other.count / total;
    mean += delta * share;
    squares += other.squares + delta * delta * count * share;
    count = total;
  }
};

/// The part of a reduction (reduction.cuh) that all have that need Moments. Values are taken
/// relative to the first of their Block and added up as `Sum`: squares then lose at most a factor
/// of kDepth in relative precision, however large the mean.
template <class T, class Sum>
struct MomentsFold {
  struct Block {
    T reference;
    Sum sum, squares;
  };
  using Element = T;
  static constexpr int kInputs = 1;
  static constexpr int kDepth = 32;
  using Local = NoLocal;
  using Total = Moments;

  __device__ Block start(const T (&x)[1], std::int64_t, Local) const { return {x[0], 0, 0}; }
  __device__ void add(Block& block, const T (&x)[1], std::int64_t, Local) const {
    const Sum deviation = static_cast<Sum>(x[0]) - static_cast<Sum>(block.reference);
    block.sum += deviation;
    block.squares += deviation * deviation;
  }
  __device__ Moments nothing() const { return {0, 0, 0}; }
  __device__ void flush(const Block& block, int count, Moments& total) const {
    const double sum = block.sum;
    const double shift = sum / count;
    const double squares = block.squares - shift * sum;
    total.merge({static_cast<double>(count), block.reference + shift, squares > 0 ? squares : 0});
  }
  __device__ Moments join(const Moments& a, const Moments& b) const {
    Moments result = a;
    result.merge(b);
    return result;
  }
};

}  // namespace minidl::kernels::cuda
