// Stands in for every file of this folder in a build without CUDA.

#include "minidl/kernels/batch_norm.h"
#include "minidl/kernels/common/check.h"
#include "minidl/kernels/common/cuda_support.h"
#include "minidl/kernels/conv.h"
#include "minidl/kernels/copy.h"
#include "minidl/kernels/elementwise.h"
#include "minidl/kernels/matmul.h"
#include "minidl/kernels/optimizer.h"
#include "minidl/kernels/pool.h"
#include "minidl/kernels/random.h"
#include "minidl/kernels/reduce.h"
#include "minidl/kernels/softmax.h"

namespace minidl::kernels::cuda {
namespace {

[[noreturn]] void refuse(const char* what) {
  fail(
      "{}: this build of minidl has no CUDA support; use --device cpu or Device cpu, or build with "
      "the CUDA toolkit installed",
      what);
}

using V = const View&;  // keeps one line per kernel

}  // namespace

int device_count() {
  return 0;
}
void require_device(int index) {
  refuse(fmt::format("device cuda:{}", index).c_str());
}

// clang-format off
void unary(ExecContext&, UnaryOp op, V, V) { refuse(name(op)); }
void binary(ExecContext&, BinaryOp op, V, V, V) { refuse(name(op)); }
void affine(ExecContext&, V, double, double, V) { refuse("affine"); }
void power(ExecContext&, V, double, V) { refuse("pow"); }
void axpy(ExecContext&, double, V, V) { refuse("axpy"); }

void copy(ExecContext&, V, V) { refuse("copy"); }
void fill(ExecContext&, V, double) { refuse("fill"); }
void arange(ExecContext&, V, double, double) { refuse("arange"); }

void reduce(ExecContext&, ReduceOp, V, V) { refuse("reduce"); }
void argmax(ExecContext&, V, int, V) { refuse("argmax"); }

void uniform(ExecContext&, RandomKey, double, double, V) { refuse("uniform"); }
void normal(ExecContext&, RandomKey, double, double, V) { refuse("normal"); }
void dropout(ExecContext&, RandomKey, double, V, V) { refuse("dropout"); }

void matmul(ExecContext&, V, V, V, V) { refuse("matmul"); }

void conv2d_forward(ExecContext&, const Conv2dParams&, V, V, V, V) { refuse("conv2d"); }
void conv2d_backward_input(ExecContext&, const Conv2dParams&, V, V, V) { refuse("conv2d"); }
void conv2d_backward_weight(ExecContext&, const Conv2dParams&, V, V, V) { refuse("conv2d"); }

void max_pool2d_forward(ExecContext&, const Pool2dParams&, V, V, V) { refuse("max_pool2d"); }
void max_pool2d_backward(ExecContext&, const Pool2dParams&, V, V, V) { refuse("max_pool2d"); }
void avg_pool2d_forward(ExecContext&, const Pool2dParams&, V, V) { refuse("avg_pool2d"); }
void avg_pool2d_backward(ExecContext&, const Pool2dParams&, V, V) { refuse("avg_pool2d"); }

void batch_norm_stats(ExecContext&, V, V, V) { refuse("batch_norm"); }
void batch_norm_apply(ExecContext&, V, V, V, V, V, V) { refuse("batch_norm"); }
void batch_norm_backward_reduce(ExecContext&, V, V, V, V, V, V) { refuse("batch_norm"); }
void batch_norm_backward_apply(ExecContext&, V, V, V, V, V, V, V, double, V) { refuse("batch_norm"); }

void softmax_forward(ExecContext&, V, int, bool, V) { refuse("softmax"); }
void softmax_backward(ExecContext&, V, V, int, bool, V) { refuse("softmax"); }
void cross_entropy_forward(ExecContext&, const CrossEntropyParams&, V, V, V) { refuse("cross_entropy"); }
void cross_entropy_backward(ExecContext&, const CrossEntropyParams&, V, V, V, V) { refuse("cross_entropy"); }

void sgd_step(ExecContext&, const SgdParams&, V, V, V) { refuse("sgd_step"); }
void adam_step(ExecContext&, const AdamParams&, V, V, V, V) { refuse("adam_step"); }
// clang-format on

}  // namespace minidl::kernels::cuda
