#include "minidl/kernels/cpu/onednn.h"

#include <algorithm>
#include <memory>
#include <unordered_map>
#include <utility>
#include <vector>

#include <oneapi/dnnl/dnnl.hpp>
#include <oneapi/dnnl/dnnl_version.h>

#include "minidl/kernels/common/check.h"
#include "minidl/kernels/common/parallel.h"
#include "minidl/kernels/cpu/lru_cache.h"

namespace minidl::kernels::cpu::onednn {
namespace {

using dnnl::memory;

const dnnl::engine& engine() {
  static const auto* instance = new dnnl::engine(dnnl::engine::kind::cpu, 0);
  return *instance;
}

// ---- Plans: what oneDNN prepares for one exact problem

/// A primitive that is ready to run.
struct Step {
  dnnl::primitive primitive;
  memory::desc scratchpad;

  explicit operator bool() const { return primitive.get(true) != nullptr; }
};

enum class Direction { in, out };

/// An operand of a primitive, in the caller's layout and in the one that the primitive prefers.
struct Operand {
  int argument;
  Direction direction;
  memory::desc given;
  memory::desc preferred;
  Step reorder;  ///< empty where both layouts are equal
};

struct Plan {
  Step step;
  std::vector<Operand> operands;
};

template <class PrimitiveDesc>
Step make_step(const PrimitiveDesc& desc) {
  return {dnnl::primitive(desc.get()), desc.scratchpad_desc()};
}

dnnl::primitive_attr user_scratchpad() {
  dnnl::primitive_attr attr;
  attr.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  return attr;
}

Operand make_operand(int argument, Direction direction, const memory::desc& given,
                     const memory::desc& preferred) {
  Operand operand{argument, direction, given, preferred, {}};
  if (given != preferred) {
    const bool in = direction == Direction::in;
    operand.reorder = make_step(dnnl::reorder::primitive_desc(
        engine(), in ? given : preferred, engine(), in ? preferred : given, user_scratchpad()));
  }
  return operand;
}

void run(ExecContext& ctx, dnnl::stream& stream, const Step& step,
         std::unordered_map<int, memory> arguments) {
  const std::size_t bytes = step.scratchpad.get_size();
  const Buffer scratchpad = ctx.workspace(bytes);
  if (bytes > 0) {
    arguments.emplace(DNNL_ARG_SCRATCHPAD, memory(step.scratchpad, engine(), scratchpad.data()));
  }
  step.primitive.execute(stream, arguments);
  stream.wait();
}

/// Runs `plan` on the caller's memory: one pointer per operand, in the plan's order.
void run(ExecContext& ctx, const Plan& plan, std::initializer_list<void*> pointers) {
  dnnl::stream stream(engine());
  std::unordered_map<int, memory> arguments;
  std::vector<Buffer> reordered;
  const auto given = [&](std::size_t i) {
    return memory(plan.operands[i].given, engine(), pointers.begin()[i]);
  };
  for (std::size_t i = 0; i < plan.operands.size(); ++i) {
    const Operand& operand = plan.operands[i];
    if (!operand.reorder) {
      arguments.emplace(operand.argument, given(i));
      continue;
    }
    reordered.push_back(ctx.workspace(operand.preferred.get_size()));
    const memory preferred(operand.preferred, engine(), reordered.back().data());
    arguments.emplace(operand.argument, preferred);
    if (operand.direction == Direction::in) {
      run(ctx, stream, operand.reorder, {{DNNL_ARG_FROM, given(i)}, {DNNL_ARG_TO, preferred}});
    }
  }
  run(ctx, stream, plan.step, arguments);
  for (std::size_t i = 0; i < plan.operands.size(); ++i) {
    const Operand& operand = plan.operands[i];
    if (operand.reorder && operand.direction == Direction::out) {
      run(ctx, stream, operand.reorder,
          {{DNNL_ARG_FROM, arguments.at(operand.argument)}, {DNNL_ARG_TO, given(i)}});
    }
  }
}

// ---- The cache of plans: preparing one takes longer than running a small problem

enum class Problem : std::int64_t {
  matmul,
  conv2d_forward,
  conv2d_backward_input,
  conv2d_backward_weight
};

/// Threads that oneDNN will use for a call made here. Plans are laid out for their number.
std::int64_t available_threads() {
#if defined(_OPENMP)
  if (omp_in_parallel()) return 1;
#endif
  return max_threads();
}

/// Within a caller's parallel region oneDNN computes in one thread, but it plans for all that
/// OpenMP may start, and threads that never come would be waited for: the region's thread has one
/// now.
class OneThreadInRegion {
 public:
  OneThreadInRegion() {
    if (available_threads() < before_) set_num_threads(1);
  }
  ~OneThreadInRegion() {
    if (max_threads() != before_) set_num_threads(before_);
  }
  OneThreadInRegion(const OneThreadInRegion&) = delete;
  OneThreadInRegion& operator=(const OneThreadInRegion&) = delete;

 private:
  int before_ = max_threads();
};

LruCache<Plan>& plans() {
  static auto* instance = new LruCache<Plan>(512);
  return *instance;
}

ProblemKey make_key(Problem problem, DType dtype) {
  ProblemKey key;
  key.add(static_cast<std::int64_t>(problem)).add(static_cast<std::int64_t>(dtype));
  key.add(available_threads());
  return key;
}

/// Turns oneDNN's exceptions, raised in `body`, into an Error that names `op` and its operands.
template <class Body>
void translate_errors(const char* op, const View& a, const View& b, const Body& body) {
  const OneThreadInRegion one_thread;
  try {
    body();
  } catch (const dnnl::error& error) {
    fail("{}: oneDNN failed for operands {}{} and {}: {} (status {})", op, a.dtype, a.shape,
         b.shape, error.what(), static_cast<int>(error.status));
  }
}

// ---- Primitive descriptors, where oneDNN's two interfaces differ. 2.x first describes the
// operation, 3.x takes the same arguments in one go.

#if DNNL_VERSION_MAJOR < 3

template <class Primitive, class... Args>
typename Primitive::primitive_desc describe(const Args&... args) {
  return {typename Primitive::desc(args...), user_scratchpad(), engine()};
}

template <class Primitive, class... Args>
typename Primitive::primitive_desc describe_backward(
    const dnnl::convolution_forward::primitive_desc& forward, const Args&... args) {
  return {typename Primitive::desc(args...), user_scratchpad(), engine(), forward};
}

#else

template <class Primitive, class... Args>
typename Primitive::primitive_desc describe(const Args&... args) {
  return {engine(), args..., user_scratchpad()};
}

template <class Primitive, class... Args>
typename Primitive::primitive_desc describe_backward(
    const dnnl::convolution_forward::primitive_desc& forward, const Args&... args) {
  return {engine(), args..., forward, user_scratchpad()};
}

#endif

memory::dims to_dims(const Dims& dims) {
  return {dims.begin(), dims.end()};
}

memory::data_type data_type(DType dtype) {
  return dtype == bf16 ? memory::data_type::bf16 : memory::data_type::f32;
}

memory::desc dense(DType dtype, const memory::dims& dims, memory::format_tag tag) {
  return {dims, data_type(dtype), tag};
}

// ---- Matrix products

/// The strides of a matrix, or a batch of them, with those that address nothing (size 1, stretched)
/// replaced by ones that oneDNN takes.
Strides matmul_strides(const View& view) {
  Strides strides = view.strides;
  const int row = view.ndim() - 2;
  const int col = view.ndim() - 1;
  if (view.size(col) == 1) strides[col] = 1;
  if (view.size(row) == 1) strides[row] = strides[col] == 1 ? view.size(col) : 1;
  if (row > 0 && (view.size(0) == 1 || strides[0] == 0)) {
    strides[0] = std::max(view.size(row) * strides[row], view.size(col) * strides[col]);
  }
  return strides;
}

memory::desc matmul_desc(const View& view) {
  Shape shape = view.shape;
  if (view.ndim() == 3 && view.strides[0] == 0) shape[0] = 1;
  return {to_dims(shape), data_type(view.dtype), to_dims(matmul_strides(view))};
}

Plan make_matmul(const View& a, const View& b, const View& bias, const View& out) {
  const memory::desc a_desc = matmul_desc(a);
  const memory::desc b_desc = matmul_desc(b);
  const memory::desc out_desc = matmul_desc(out);
  memory::dims bias_dims(static_cast<std::size_t>(out.ndim()), 1);
  bias_dims.back() = out.shape.back();
  const memory::desc bias_desc = dense(
      out.dtype, bias_dims, out.ndim() == 2 ? memory::format_tag::ab : memory::format_tag::abc);
  const auto desc = bias.defined ? describe<dnnl::matmul>(a_desc, b_desc, bias_desc, out_desc)
                                 : describe<dnnl::matmul>(a_desc, b_desc, out_desc);
  Plan plan{make_step(desc),
            {make_operand(DNNL_ARG_SRC, Direction::in, a_desc, a_desc),
             make_operand(DNNL_ARG_WEIGHTS, Direction::in, b_desc, b_desc),
             make_operand(DNNL_ARG_DST, Direction::out, out_desc, out_desc)}};
  if (bias.defined) {
    plan.operands.push_back(make_operand(DNNL_ARG_BIAS, Direction::in, bias_desc, bias_desc));
  }
  return plan;
}

// ---- Convolutions

/// A convolution in oneDNN's words. Images are pinned to NHWC so that nothing big is reordered; the
/// layout of the weights is the primitive's choice.
struct Convolution {
  memory::desc image;
  memory::desc weight;      ///< as the caller has it: OHWI
  memory::desc any_weight;  ///< as the primitive likes it
  memory::desc bias;
  memory::desc output;
  memory::dims strides;
  memory::dims dilations;  ///< counted from 0
  memory::dims padding;

  Convolution(DType dtype, const Conv2dParams& params, const Shape& x, const Shape& w,
              const Shape& y)
      : image(dense(dtype, to_dims(x), memory::format_tag::nhwc)),
        bias(dense(dtype, {y[1]}, memory::format_tag::a)),
        output(dense(dtype, to_dims(y), memory::format_tag::nhwc)),
        strides(params.stride.begin(), params.stride.end()),
        dilations{params.dilation[0] - 1, params.dilation[1] - 1},
        padding(params.padding.begin(), params.padding.end()) {
    memory::dims dims = to_dims(w);
    memory::dims ohwi = to_dims(channels_last_strides(w));
    if (params.groups > 1) {
      const memory::dim per_group = w[0] / params.groups;
      dims[0] = per_group;
      dims.insert(dims.begin(), params.groups);
      ohwi.insert(ohwi.begin(), ohwi[0] * per_group);
    }
    weight = memory::desc(dims, data_type(dtype), ohwi);
    any_weight = dense(dtype, dims, memory::format_tag::any);
  }

  dnnl::convolution_forward::primitive_desc forward(bool with_bias) const {
    constexpr auto kind = dnnl::prop_kind::forward_training;
    constexpr auto direct = dnnl::algorithm::convolution_direct;
    return with_bias
               ? describe<dnnl::convolution_forward>(kind, direct, image, any_weight, bias, output,
                                                     strides, dilations, padding, padding)
               : describe<dnnl::convolution_forward>(kind, direct, image, any_weight, output,
                                                     strides, dilations, padding, padding);
  }

  template <class Primitive>
  typename Primitive::primitive_desc backward() const {
    return describe_backward<Primitive>(forward(false), dnnl::algorithm::convolution_direct, image,
                                        any_weight, output, strides, dilations, padding, padding);
  }
};

Plan make_forward(const Convolution& conv, bool with_bias) {
  const auto desc = conv.forward(with_bias);
  Plan plan{make_step(desc),
            {make_operand(DNNL_ARG_SRC, Direction::in, conv.image, desc.src_desc()),
             make_operand(DNNL_ARG_WEIGHTS, Direction::in, conv.weight, desc.weights_desc()),
             make_operand(DNNL_ARG_DST, Direction::out, conv.output, desc.dst_desc())}};
  if (with_bias) {
    plan.operands.push_back(
        make_operand(DNNL_ARG_BIAS, Direction::in, conv.bias, desc.bias_desc()));
  }
  return plan;
}

Plan make_backward_input(const Convolution& conv) {
  const auto desc = conv.backward<dnnl::convolution_backward_data>();
  return {make_step(desc),
          {make_operand(DNNL_ARG_DIFF_DST, Direction::in, conv.output, desc.diff_dst_desc()),
           make_operand(DNNL_ARG_WEIGHTS, Direction::in, conv.weight, desc.weights_desc()),
           make_operand(DNNL_ARG_DIFF_SRC, Direction::out, conv.image, desc.diff_src_desc())}};
}

Plan make_backward_weight(const Convolution& conv) {
  const auto desc = conv.backward<dnnl::convolution_backward_weights>();
  return {
      make_step(desc),
      {make_operand(DNNL_ARG_DIFF_DST, Direction::in, conv.output, desc.diff_dst_desc()),
       make_operand(DNNL_ARG_SRC, Direction::in, conv.image, desc.src_desc()),
       make_operand(DNNL_ARG_DIFF_WEIGHTS, Direction::out, conv.weight, desc.diff_weights_desc())}};
}

ProblemKey conv_key(Problem problem, DType dtype, const Conv2dParams& params, const Shape& x,
                    const Shape& weight, const Shape& y) {
  ProblemKey key = make_key(problem, dtype);
  key.add_all(x).add_all(weight).add_all(y).add(params.groups);
  key.add_all(params.stride).add_all(params.padding).add_all(params.dilation);
  return key;
}

}  // namespace

bool computes(DType dtype) {
  if (dtype == f32) return true;
  constexpr auto kNeeded = static_cast<unsigned>(dnnl::cpu_isa::avx512_core_bf16);
  // Later instruction sets contain the bits of those they include.
  return dtype == bf16 &&
         (static_cast<unsigned>(dnnl::get_effective_cpu_isa()) & kNeeded) == kNeeded;
}

bool takes_matmul_operand(const View& operand) {
  const Strides strides = matmul_strides(operand);
  const int row = operand.ndim() - 2;
  const int col = operand.ndim() - 1;
  if (strides[row] != 1 && strides[col] != 1) return false;
  const auto [inner, outer] = strides[col] == 1 ? std::pair(col, row) : std::pair(row, col);
  if (strides[outer] < operand.size(inner)) return false;
  if (row == 0 || operand.size(0) == 1) return true;
  const std::int64_t matrix = strides[outer] * operand.size(outer);
  const bool between =
      strides[0] >= operand.size(inner) && strides[outer] >= strides[0] * operand.size(0);
  return strides[0] >= matrix || between;
}

void matmul(ExecContext& ctx, const View& a, const View& b, const View& bias, const View& out) {
  ProblemKey key = make_key(Problem::matmul, out.dtype);
  key.add(out.ndim()).add_all(out.shape).add(a.shape.back()).add(bias.defined);
  key.add_all(a.strides).add_all(b.strides);
  translate_errors("matmul", a, b, [&] {
    const auto plan = plans().get(key, [&] { return make_matmul(a, b, bias, out); });
    run(ctx, *plan, {a.data, b.data, out.data, bias.data});
  });
}

void conv2d_forward(ExecContext& ctx, const Conv2dParams& params, const View& x, const View& weight,
                    const View& bias, const View& y) {
  const ProblemKey key =
      conv_key(Problem::conv2d_forward, y.dtype, params, x.shape, weight.shape, y.shape)
          .add(bias.defined);
  translate_errors("conv2d", x, weight, [&] {
    const auto plan = plans().get(key, [&] {
      return make_forward(Convolution(y.dtype, params, x.shape, weight.shape, y.shape),
                          bias.defined);
    });
    run(ctx, *plan, {x.data, weight.data, y.data, bias.data});
  });
}

void conv2d_backward_input(ExecContext& ctx, const Conv2dParams& params, const View& dy,
                           const View& weight, const View& dx) {
  const ProblemKey key =
      conv_key(Problem::conv2d_backward_input, dx.dtype, params, dx.shape, weight.shape, dy.shape);
  translate_errors("conv2d backward (input)", dy, weight, [&] {
    const auto plan = plans().get(key, [&] {
      return make_backward_input(Convolution(dx.dtype, params, dx.shape, weight.shape, dy.shape));
    });
    run(ctx, *plan, {dy.data, weight.data, dx.data});
  });
}

void conv2d_backward_weight(ExecContext& ctx, const Conv2dParams& params, const View& dy,
                            const View& x, const View& dweight) {
  const ProblemKey key =
      conv_key(Problem::conv2d_backward_weight, x.dtype, params, x.shape, dweight.shape, dy.shape);
  translate_errors("conv2d backward (weight)", dy, x, [&] {
    const auto plan = plans().get(key, [&] {
      return make_backward_weight(Convolution(x.dtype, params, x.shape, dweight.shape, dy.shape));
    });
    run(ctx, *plan, {dy.data, x.data, dweight.data});
  });
}

}  // namespace minidl::kernels::cpu::onednn
