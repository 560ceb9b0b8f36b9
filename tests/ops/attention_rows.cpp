#include <cmath>

#include "minidl/core/ops/attention.h"
#include "minidl/core/ops/dropout.h"
#include "minidl/core/ops/embedding.h"
#include "minidl/core/ops/softmax.h"
#include "minidl/core/random.h"
#include "tests/ops/op_table.h"

namespace minidl::test {
namespace {

Sample embedding_sample(const Shape& indices, std::int64_t table_rows, std::int64_t width) {
  const Input list{indices, 0, static_cast<double>(table_rows), Input::Kind::labels};
  return {to_string(indices) + " of " + std::to_string(table_rows) + " rows of " +
              std::to_string(width),
          {list, {{table_rows, width}}},
          [](const Tensors& in) { return embedding(in[0], in[1]); },
          [=](const Arrays& in) {
            Shape shape = indices;
            shape.push_back(width);
            return generate(shape, [&](const Dims& index) {
              const double row = in[0].at(index.slice(0, indices.size()));
              return in[1].at({static_cast<std::int64_t>(row), index.back()});
            });
          }};
}

/// softmax along `dim` of the numbers x(index) where takes_part(index); elsewhere 0.
Array softmax_where(const Shape& shape, int dim, const std::function<double(const Dims&)>& x,
                    const std::function<bool(const Dims&)>& takes_part) {
  return generate(shape, [&](const Dims& index) {
    if (!takes_part(index)) return 0.0;
    double sum = 0;
    Dims other = index;
    for (std::int64_t i = 0; i < shape[dim]; ++i) {
      other[dim] = i;
      if (takes_part(other)) sum += std::exp(x(other));
    }
    return std::exp(x(index)) / sum;
  });
}

Sample masked_softmax_sample(const Shape& shape, const Shape& mask, int dim) {
  return {to_string(shape) + " mask " + to_string(mask) + " dim " + std::to_string(dim),
          {{shape}, {mask, 0, 1, Input::Kind::mask}},
          [=](const Tensors& in) { return masked_softmax(in[0], in[1], dim); },
          [=](const Arrays& in) {
            return softmax_where(
                shape, dim, [&](const Dims& index) { return in[0].at(index); },
                [&](const Dims& index) { return in[1].broadcast_at(index) != 0; });
          }};
}

/// `shape` without its last `count` dimensions, and then `tail`.
Shape with_tail(const Shape& shape, int count, const Shape& tail) {
  Shape result = shape.slice(0, shape.size() - count);
  for (const std::int64_t extent : tail) result.push_back(extent);
  return result;
}

struct AttentionCase {
  Shape q, k, v;
  std::optional<Shape> mask = {};
  bool causal = false;
  std::optional<double> scale = {};
  double dropout = 0;
};

constexpr std::uint64_t kDropoutSeed = 20;

Array reference_attention(const AttentionCase& c, const Arrays& in) {
  const Shape of_q_and_k =
      broadcast_shapes("reference", with_tail(c.q, 2, {}), with_tail(c.k, 2, {}));
  const Shape lead = broadcast_shapes("reference", of_q_and_k, with_tail(c.v, 2, {}));
  const int last = lead.size() + 1;
  const double scale = c.scale.value_or(1 / std::sqrt(static_cast<double>(c.q.back())));
  auto score = [&](const Dims& index) {
    Dims at_q = index;
    Dims at_k = index;
    at_k[last - 1] = index[last];
    double sum = 0;
    for (std::int64_t e = 0; e < c.q.back(); ++e) {
      at_q[last] = e;
      at_k[last] = e;
      sum += in[0].broadcast_at(at_q) * in[1].broadcast_at(at_k);
    }
    return scale * sum;
  };
  auto takes_part = [&](const Dims& index) {
    if (c.causal && index[last] > index[last - 1]) return false;
    return !c.mask || in[3].broadcast_at(index) != 0;
  };
  const std::int64_t queries = c.q[c.q.size() - 2];
  const std::int64_t keys = c.k[c.k.size() - 2];
  Array weights = softmax_where(with_tail(lead, 0, {queries, keys}), last, score, takes_part);
  if (c.dropout > 0) {
    manual_seed(kDropoutSeed);
    const Array kept = Array::of(dropout(ones(weights.shape, {.dtype = f64}), c.dropout));
    for (std::size_t i = 0; i < kept.values.size(); ++i) weights.values[i] *= kept.values[i];
  }
  return generate(with_tail(lead, 0, {queries, c.v.back()}), [&](const Dims& index) {
    Dims at_weights = index;
    Dims at_v = index;
    double sum = 0;
    for (std::int64_t key = 0; key < keys; ++key) {
      at_weights[last] = key;
      at_v[last - 1] = key;
      sum += weights.at(at_weights) * in[2].broadcast_at(at_v);
    }
    return sum;
  });
}

using Attend = Tensor (*)(const Tensor& q, const Tensor& k, const Tensor& v,
                          const AttentionOptions& options);

/// The composition that scaled_dot_product_attention is where it has no kernel.
Tensor attend_with_weights(const Tensor& q, const Tensor& k, const Tensor& v,
                           const AttentionOptions& options) {
  return attention_with_weights(q, k, v, options).output;
}

Sample attention_sample(const AttentionCase& c, Attend attend = scaled_dot_product_attention) {
  std::vector<Input> inputs{{c.q}, {c.k}, {c.v}};
  if (c.mask) inputs.push_back({*c.mask, 0, 1, Input::Kind::mask});
  return {to_string(c.q) + " x " + to_string(c.k) + " x " + to_string(c.v) +
              (c.mask ? " mask " + to_string(*c.mask) : "") + (c.causal ? " causal" : "") +
              (c.scale ? " scaled" : "") + (c.dropout > 0 ? " dropout" : ""),
          inputs,
          [=](const Tensors& in) {
            if (c.dropout > 0) manual_seed(kDropoutSeed);
            return attend(in[0], in[1], in[2],
                          {.mask = c.mask ? in[3] : Tensor(),
                           .dropout = c.dropout,
                           .causal = c.causal,
                           .scale = c.scale});
          },
          [=](const Arrays& in) { return reference_attention(c, in); }};
}

AttentionCase long_attention() {
  return {.q = {4, 8, 1024, 64}, .k = {4, 8, 1024, 64}, .v = {4, 8, 1024, 64}};
}

AttentionCase random_attention(Chooser& choose) {
  const std::int64_t batch = choose.between(1, 3);
  const std::int64_t heads = choose.between(1, 3);
  const std::int64_t queries = choose.between(1, 5);
  const std::int64_t keys = choose.between(1, 5);
  const std::int64_t width = choose.between(1, 4);
  const Shape masks[] = {{queries, keys}, {batch, 1, 1, keys}, {batch, heads, queries, keys},
                         {keys},          {queries, 1},        {1, heads, 1, 1}};
  return {.q = {batch, heads, queries, width},
          .k = {batch, heads, keys, width},
          .v = {batch, heads, keys, choose.between(1, 4)},
          .mask = masks[choose.between(0, 5)],
          .causal = choose.coin(),
          .dropout = choose.coin() ? 0.4 : 0};
}

}  // namespace

void add_attention_rows(std::vector<OpRow>& rows) {
  rows.push_back({"embedding",
                  [](Chooser& choose) {
                    std::vector<Sample> samples{
                        embedding_sample({}, 3, 4), embedding_sample({0}, 3, 4),
                        embedding_sample({4}, 3, 0), embedding_sample({2, 9}, 3, 2)};
                    for (int ndim = 1; ndim <= 3; ++ndim) {
                      samples.push_back(embedding_sample(choose.shape(ndim), choose.between(1, 9),
                                                         choose.between(1, 40)));
                    }
                    return samples;
                  },
                  [] {
                    return embedding_sample({32, 128}, 30522, 768);
                  }});
  rows.push_back({"masked_softmax",
                  [](Chooser& choose) {
                    std::vector<Sample> samples{masked_softmax_sample({0, 3}, {3}, 1),
                                                masked_softmax_sample({3, 0}, {3, 0}, 1),
                                                masked_softmax_sample({6, 2}, {6, 1}, 1),
                                                masked_softmax_sample({6, 2}, {}, 0)};
                    for (int ndim = 1; ndim <= 4; ++ndim) {
                      const Shape shape = choose.shape(ndim);
                      Shape mask = shape.slice(static_cast<int>(choose.between(0, ndim)), ndim);
                      for (std::int64_t& extent : mask) extent = choose.coin() ? 1 : extent;
                      samples.push_back(masked_softmax_sample(
                          shape, mask, static_cast<int>(choose.between(0, ndim - 1))));
                    }
                    return samples;
                  },
                  [] {
                    return masked_softmax_sample({384, 128, 128}, {384, 1, 128}, 2);
                  }});
  rows.push_back(
      {"scaled_dot_product_attention",
       [](Chooser& choose) {
         std::vector<Sample> samples{
             attention_sample({.q = {3, 2}, .k = {4, 2}, .v = {4, 5}}),
             attention_sample({.q = {0, 3, 2}, .k = {0, 4, 2}, .v = {0, 4, 5}}),
             attention_sample({.q = {2, 3, 2}, .k = {2, 4, 2}, .v = {2, 4, 5}, .causal = true}),
             attention_sample({.q = {2, 4, 2}, .k = {3, 2}, .v = {3, 1}, .scale = 0.3}),
             attention_sample({.q = {4, 2}, .k = {2, 1, 3, 2}, .v = {3, 3, 1}, .dropout = 0.3}),
             attention_sample({.q = {3, 1, 2, 1}, .k = {2, 3, 1}, .v = {3, 1, 3, 2}}),
             attention_sample({.q = {2, 0, 2}, .k = {2, 3, 2}, .v = {2, 3, 2}, .causal = true}),
             attention_sample({.q = {2, 3, 2}, .k = {2, 0, 2}, .v = {2, 0, 2}, .dropout = 0.3}),
             attention_sample({.q = {2, 3, 0}, .k = {2, 4, 0}, .v = {2, 4, 2}, .scale = 1}),
             attention_sample({.q = {2, 3, 2}, .k = {2, 4, 2}, .v = {2, 4, 0}})};
         for (int i = 0; i < 4; ++i) samples.push_back(attention_sample(random_attention(choose)));
         return samples;
       },
       [] { return attention_sample(long_attention()); }});
  rows.push_back({"attention_with_weights",
                  [](Chooser& choose) {
                    std::vector<Sample> samples;
                    for (int i = 0; i < 4; ++i) {
                      samples.push_back(
                          attention_sample(random_attention(choose), attend_with_weights));
                    }
                    return samples;
                  },
                  [] { return attention_sample(long_attention(), attend_with_weights); }});
}

}  // namespace minidl::test
