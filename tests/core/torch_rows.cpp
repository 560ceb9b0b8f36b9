// Rows of functions, reductions, shapes and indices.

#include "tests/core/torch_rows.h"

#include <cmath>

#include "minidl/core/ops/comparison.h"
#include "minidl/core/ops/elementwise.h"
#include "minidl/core/ops/embedding.h"
#include "minidl/core/ops/indexing.h"
#include "minidl/core/ops/reduce.h"
#include "minidl/core/ops/scan.h"
#include "minidl/core/ops/shape.h"

namespace minidl::test {

using In = const Tensors&;

void add_torch_elementwise(std::vector<TorchRow>& rows) {
  struct Function {
    const char* name;
    Tensor (*run)(const Tensor&);
  };
  const Function functions[] = {
      {"relu", relu},
      {"sigmoid", sigmoid},
      {"tanh", tanh},
      {"silu", silu},
      {"mish", mish},
      {"hardswish", hardswish},
      {"logsigmoid", logsigmoid},
      {"relu6", relu6},
      {"exp", exp},
      {"exp2", exp2},
      {"expm1", expm1},
      {"sin", sin},
      {"cos", cos},
      {"erf", erf},
      {"abs", abs},
      {"sign", sign},
      {"square", square},
      {"floor", floor},
      {"ceil", ceil},
      {"round", round},
      {"round halves", round},
      {"trunc", trunc},
      {"reciprocal", reciprocal},
      {"log", log},
      {"log2", log2},
      {"log10", log10},
      {"log1p", log1p},
      {"sqrt", sqrt},
      {"rsqrt", rsqrt},
  };
  for (const Function& function : functions) {
    add_row(rows, function.name, [run = function.run](In in) { return run(in[0]); });
  }
  add_row(rows, "hardsigmoid", [](In in) { return hardsigmoid(in[0]); });
  rows.back().tolerance = 3e-8;  // PyTorch's gradient has 1 / 6 rounded to f32
  add_row(rows, "gelu", [](In in) { return gelu(in[0]); });
  add_row(rows, "gelu tanh", [](In in) { return gelu(in[0], GeluApproximation::tanh); });
  add_row(rows, "leaky_relu", [](In in) { return leaky_relu(in[0], 0.3); });
  add_row(rows, "elu", [](In in) { return elu(in[0], 1.7); });
  add_row(rows, "softplus", [](In in) { return softplus(in[0], 3, 2); });
  add_row(rows, "hardtanh", [](In in) { return hardtanh(in[0], -0.5, 1.5); });
  add_row(rows, "clamp", [](In in) { return clamp(in[0], -0.5, 0.5); });
  add_row(rows, "clamp crossed", [](In in) { return clamp(in[0], 1, -1); });
  add_row(rows, "add broadcast", [](In in) { return in[0] + in[1]; });
  add_row(rows, "div broadcast", [](In in) { return in[0] / in[1]; });
  add_row(rows, "pow", [](In in) { return pow(in[0], in[1]); });
  add_row(rows, "pow number", [](In in) { return pow(in[0], 3); });
  add_row(rows, "maximum ties", [](In in) { return maximum(in[0], in[1]); });
  add_row(rows, "minimum ties", [](In in) { return minimum(in[0], in[1]); });
  add_row(rows, "remainder", [](In in) { return remainder(in[0], in[1]); });
  add_row(rows, "remainder integers", [](In in) { return in[0] % in[1]; });
  add_row(rows, "floor_divide", [](In in) { return floor_divide(in[0], in[1]); });
  add_row(rows, "where", [](In in) { return where(in[0], in[1], in[2]); });
  add_row(rows, "masked_fill", [](In in) { return masked_fill(in[0], in[1], -2.5); });
  add_row(rows, "logical_xor", [](In in) { return logical_xor(in[0], in[1]); });
}

void add_torch_reductions(std::vector<TorchRow>& rows) {
  add_row(rows, "sum keepdim", [](In in) { return in[0].sum({0, -1}, true); });
  add_row(rows, "mean", [](In in) { return in[0].mean({-2}); });
  add_row(rows, "amax ties", [](In in) { return in[0].amax({0, 2}); });
  add_row(rows, "amin ties", [](In in) { return in[0].amin({-1}, true); });
  add_row(rows, "max all ties", [](In in) { return in[0].max(); });
  add_row(rows, "var", [](In in) { return in[0].var({1}); });
  add_row(rows, "var biased", [](In in) { return in[0].var({0, 2}, false, true); });
  add_row(rows, "std", [](In in) { return in[0].std({-1}); });
  add_row(rows, "norm 1", [](In in) { return in[0].norm(1, {-1}); });
  add_row(rows, "norm 3", [](In in) { return in[0].norm(3, {0}); });
  add_row(rows, "norm inf", [](In in) { return in[0].norm(INFINITY, {1}); });
  add_row(rows, "prod zeros", [](In in) { return prod(in[0], 1); });
  add_row(rows, "logsumexp", [](In in) { return logsumexp(in[0], {0, 1}); });
  add_row(rows, "argmax", [](In in) { return in[0].argmax(1); });
  add_row(rows, "argmin keepdim", [](In in) { return argmin(in[0], 0, true); });
  add_row(rows, "any", [](In in) { return any(in[0], {-1}); });
  add_row(rows, "all", [](In in) { return all(in[0], {0}); });
  add_row(rows, "cumsum", [](In in) { return cumsum(in[0], -2); });
  add_row(rows, "cumprod zeros", [](In in) { return cumprod(in[0], 1); });
}

void add_torch_shapes(std::vector<TorchRow>& rows) {
  add_row(rows, "pad reflect", [](In in) { return pad(in[0], {2, 1, 1, 2}, PadMode::reflect); });
  add_row(rows, "pad replicate", [](In in) {
    return pad(in[0], {2, 1, 0, 3}, PadMode::replicate);
  });
  add_row(rows, "pad circular", [](In in) { return pad(in[0], {1, 2}, PadMode::circular); });
  add_row(rows, "pad negative", [](In in) {
    return pad(in[0], {-1, 2, 1, -1}, PadMode::constant, 0.5);
  });
  add_row(rows, "roll", [](In in) { return roll(in[0], {1, -2}, {0, 2}); });
  add_row(rows, "flip", [](In in) { return in[0].flip({0, -1}); });
  add_row(rows, "tril", [](In in) { return tril(in[0], -1); });
  add_row(rows, "triu", [](In in) { return triu(in[0], 1); });
  add_row(rows, "diagonal", [](In in) { return in[0].diagonal(1, 0, -1); });
  add_row(rows, "repeat_interleave", [](In in) { return in[0].repeat_interleave(3, -1); });
  add_row(rows, "movedim", [](In in) { return in[0].movedim({0, 1}, {-1, 0}); });
  add_row(rows, "cat", [](In in) { return cat({in[0], in[1]}, -1); });
  add_row(rows, "stack", [](In in) { return stack({in[0], in[1]}, -1); });
  add_row(rows, "unflatten", [](In in) { return in[0].unflatten(-1, {2, -1}); });
  add_row(rows, "masked_select", [](In in) { return in[0].masked_select(in[1]); });
  add_row(rows, "nonzero", [](In in) { return in[0].nonzero(); });
}

void add_torch_indexing(std::vector<TorchRow>& rows) {
  add_row(rows, "gather duplicates", [](In in) { return gather(in[0], 1, in[1]); });
  add_row(rows, "take_along_dim", [](In in) { return take_along_dim(in[0], in[1], 0); });
  add_row(rows, "scatter", [](In in) { return scatter(in[0], 0, in[1], in[2]); });
  add_row(rows, "scatter_add duplicates",
          [](In in) { return scatter_add(in[0], -1, in[1], in[2]); });
  add_row(rows, "index_select", [](In in) { return index_select(in[0], -1, in[1]); });
  add_row(rows, "index_add", [](In in) { return index_add(in[0], 0, in[1], in[2], -2); });
  add_row(rows, "embedding padding_idx", [](In in) { return embedding(in[0], in[1], -2); });
  add_row(rows, "one_hot", [](In in) { return one_hot(in[0], 5); });
  add_row(rows, "sort stable", [](In in) { return sort(in[0], 0); });
  add_row(rows, "sort descending", [](In in) { return sort(in[0], -1, true); });
  add_row(rows, "argsort", [](In in) { return argsort(in[0]); });
  add_row(rows, "topk", [](In in) { return topk(in[0], 3, 1); });
  add_row(rows, "topk smallest", [](In in) { return topk(in[0], 2, 0, false); });
  add_row(rows, "kthvalue", [](In in) { return kthvalue(in[0], 3, -1, true); });
  add_row(rows, "unique", [](In in) { return unique(in[0]); });
}

}  // namespace minidl::test
