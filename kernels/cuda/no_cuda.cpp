// Stands in for every kernel of this folder in a build without CUDA.

#include "minidl/kernels/batch_norm.h"
#include "minidl/kernels/common/check.h"
#include "minidl/kernels/comparison.h"
#include "minidl/kernels/conv.h"
#include "minidl/kernels/copy.h"
#include "minidl/kernels/elementwise.h"
#include "minidl/kernels/embedding.h"
#include "minidl/kernels/layer_norm.h"
#include "minidl/kernels/loss.h"
#include "minidl/kernels/matmul.h"
#include "minidl/kernels/norm.h"
#include "minidl/kernels/optimizer.h"
#include "minidl/kernels/pool.h"
#include "minidl/kernels/random.h"
#include "minidl/kernels/reduce.h"
#include "minidl/kernels/softmax.h"

namespace minidl::kernels::cuda {
namespace {

[[noreturn]] void refuse(const char* what) {
  fail("{}: this build of minidl has no CUDA support; use the CPU (--device cpu)", what);
}

using C = ExecContext&;
using V = const View&;  // keeps one line per kernel

}  // namespace

// clang-format off
void unary(C, UnaryOp op, V, V) { refuse(name(op)); }
void unary_backward(C, UnaryOp op, V, V, V) { refuse(name(op)); }
void parametric(C, ParametricOp op, const Parameters&, V, V) { refuse(name(op)); }
void parametric_backward(C, ParametricOp op, const Parameters&, V, V, V) { refuse(name(op)); }
void binary(C, BinaryOp op, V, V, V) { refuse(name(op)); }
void affine(C, V, double, double, V) { refuse("affine"); }
void power(C, V, double, V) { refuse("pow"); }
void axpy(C, double, V, V) { refuse("axpy"); }

void compare(C, CompareOp op, V, V, V) { refuse(name(op)); }
void compare_number(C, CompareOp op, V, double, V) { refuse(name(op)); }
void classify(C, NumberClass what, V, V) { refuse(name(what)); }
void where(C, V, V, V, V) { refuse("where"); }
void masked_fill(C, V, V, bool, double, V) { refuse("masked_fill"); }

void copy(C, V, V) { refuse("copy"); }
void fill(C, V, double) { refuse("fill"); }
void arange(C, V, double, double) { refuse("arange"); }

void reduce(C, ReduceOp, V, V) { refuse("reduce"); }
void argmax(C, V, int, V) { refuse("argmax"); }
void argmin(C, V, int, V) { refuse("argmin"); }
void any(C, V, V) { refuse("any"); }
void all(C, V, V) { refuse("all"); }

void uniform(C, RandomKey, double, double, V) { refuse("uniform"); }
void normal(C, RandomKey, double, double, V) { refuse("normal"); }
void dropout(C, RandomKey, double, V, V) { refuse("dropout"); }

void matmul(C, V, V, V, V) { refuse("matmul"); }

void conv2d_forward(C, const Conv2dParams&, V, V, V, V) { refuse("conv2d"); }
void conv2d_backward_input(C, const Conv2dParams&, V, V, V) { refuse("conv2d"); }
void conv2d_backward_weight(C, const Conv2dParams&, V, V, V) { refuse("conv2d"); }

void max_pool2d_forward(C, const Pool2dParams&, V, V, V) { refuse("max_pool2d"); }
void max_pool2d_backward(C, const Pool2dParams&, V, V, V) { refuse("max_pool2d"); }
void avg_pool2d_forward(C, const Pool2dParams&, V, V) { refuse("avg_pool2d"); }
void avg_pool2d_backward(C, const Pool2dParams&, V, V) { refuse("avg_pool2d"); }

void batch_norm_stats(C, V, V, V) { refuse("batch_norm"); }
void batch_norm_apply(C, V, V, V, V, V, V) { refuse("batch_norm"); }
void batch_norm_backward_reduce(C, V, V, V, V, V, V) { refuse("batch_norm"); }
void batch_norm_backward_apply(C, V, V, V, V, V, V, V, double, V) { refuse("batch_norm"); }

void layer_norm_forward(C, V, V, V, double, V, V, V) { refuse("layer_norm"); }
void layer_norm_backward(C, V, V, V, V, V, V, V, V) { refuse("layer_norm"); }
void rms_norm_forward(C, V, V, double, V, V) { refuse("rms_norm"); }
void rms_norm_backward(C, V, V, V, V, V, V) { refuse("rms_norm"); }

void embedding_forward(C, V, V, V) { refuse("embedding"); }
void embedding_backward(C, V, V, std::int64_t, V) { refuse("embedding"); }

void softmax_forward(C, V, int, bool, V) { refuse("softmax"); }
void softmax_backward(C, V, V, int, bool, V) { refuse("softmax"); }
void masked_softmax_forward(C, V, V, int, V) { refuse("masked_softmax"); }
void cross_entropy_forward(C, const CrossEntropyParams&, V, V, V) { refuse("cross_entropy"); }
void cross_entropy_backward(C, const CrossEntropyParams&, V, V, V, V) { refuse("cross_entropy"); }

void pointwise_loss(C, LossOp op, double, V, V, V) { refuse(name(op)); }
void pointwise_loss_backward(C, LossOp op, double, LossOperand, V, V, V, V) { refuse(name(op)); }

void sgd_step(C, const SgdParams&, V, V, V) { refuse("sgd_step"); }
void lion_step(C, const LionParams&, V, V, V) { refuse("lion_step"); }
void lars_step(C, const LarsParams&, V, V, V, V, V) { refuse("lars_step"); }
void l2_norm(C, V, V) { refuse("l2_norm"); }
void adam_step(C, const AdamParams&, V, V, V, V) { refuse("adam_step"); }
// clang-format on

}  // namespace minidl::kernels::cuda
