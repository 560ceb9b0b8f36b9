#include <algorithm>
#include <cmath>

#include "minidl/core/ops/batch_norm.h"
#include "minidl/core/ops/group_norm.h"
#include "minidl/core/ops/layer_norm.h"
#include "minidl/core/ops/softmax.h"
#include "tests/ops/op_table.h"

namespace minidl::test {
namespace {

constexpr double kEps = 1e-3;

Array reference_softmax(const Array& x, int dim, bool log) {
  return generate(x.shape, [&](Dims index) {
    const double own = x.at(index);
    double sum = 0;
    for (std::int64_t i = 0; i < x.shape[dim]; ++i) {
      index[dim] = i;
      sum += std::exp(x.at(index));
    }
    return log ? own - std::log(sum) : std::exp(own) / sum;
  });
}

Sample softmax_sample(const Shape& shape, int dim, bool log) {
  return {to_string(shape) + " dim " + std::to_string(dim),
          {{shape}},
          [=](const Tensors& in) { return log ? log_softmax(in[0], dim) : softmax(in[0], dim); },
          [=](const Arrays& in) { return reference_softmax(in[0], dim, log); }};
}

Sample cross_entropy_sample(std::int64_t rows, std::int64_t classes,
                            const CrossEntropyOptions& options) {
  return {std::to_string(rows) + " rows of " + std::to_string(classes) + " smoothing " +
              std::to_string(options.label_smoothing) + " ignoring " +
              std::to_string(options.ignore_index),
          {{{rows, classes}}, {{rows}, 0, static_cast<double>(classes), Input::Kind::labels}},
          [=](const Tensors& in) { return cross_entropy(in[0], in[1], options); },
          [=](const Arrays& in) {
            const Array log_probs = reference_softmax(in[0], 1, true);
            double sum = 0;
            double count = 0;
            for (std::int64_t row = 0; row < rows; ++row) {
              const auto label = static_cast<std::int64_t>(in[1].at({row}));
              if (label == options.ignore_index) continue;
              double spread = 0;
              for (std::int64_t c = 0; c < classes; ++c) spread += log_probs.at({row, c});
              sum -= (1 - options.label_smoothing) * log_probs.at({row, label}) +
                     options.label_smoothing * spread / static_cast<double>(classes);
              ++count;
            }
            Array loss{Shape{}};
            loss.values[0] = sum / count;
            return loss;
          }};
}

// The last `dims` dimensions are normalised.
Sample layer_norm_sample(const Shape& shape, int dims, bool weight, bool bias) {
  const Shape row = shape.slice(shape.size() - dims, shape.size());
  auto parameter = [&](bool given) {
    return Input{row, -2, 2, given ? Input::Kind::real : Input::Kind::none};
  };
  return {to_string(shape) + " over " + to_string(row) + (weight ? " weight" : "") +
              (bias ? " bias" : ""),
          {{shape}, parameter(weight), parameter(bias)},
          [=](const Tensors& in) { return layer_norm(in[0], row, in[1], in[2], kEps); },
          [=](const Arrays& in) {
            const auto count = static_cast<double>(numel(row));
            return generate(shape, [&](const Dims& index) {
              Dims other = index;
              const Dims own = index.slice(shape.size() - dims, shape.size());
              auto row_mean = [&](const std::function<double(double)>& f) {
                double sum = 0;
                for_each_index(row, [&](const Dims& at) {
                  for (int i = 0; i < dims; ++i) other[shape.size() - dims + i] = at[i];
                  sum += f(in[0].at(other));
                });
                return sum / count;
              };
              const double mean = row_mean([](double x) { return x; });
              const double variance = row_mean([&](double x) { return std::pow(x - mean, 2); });
              const double xhat = (in[0].at(index) - mean) / std::sqrt(variance + kEps);
              return xhat * (weight ? in[1].at(own) : 1) + (bias ? in[2].at(own) : 0);
            });
          }};
}

// The last `dims` dimensions are divided by the root of their mean square.
Sample rms_norm_sample(const Shape& shape, int dims, bool weight) {
  const int lead = shape.size() - dims;
  const Shape row = shape.slice(lead, shape.size());
  return {to_string(shape) + " over " + to_string(row) + (weight ? " weight" : ""),
          {{shape}, {row, -2, 2, weight ? Input::Kind::real : Input::Kind::none}},
          [=](const Tensors& in) { return rms_norm(in[0], row, in[1], kEps); },
          [=](const Arrays& in) {
            return generate(shape, [&](const Dims& index) {
              Dims other = index;
              double squares = 0;
              for_each_index(row, [&](const Dims& at) {
                for (int i = 0; i < dims; ++i) other[lead + i] = at[i];
                squares += std::pow(in[0].at(other), 2);
              });
              const double mean_square = squares / static_cast<double>(numel(row));
              const double w = weight ? in[1].at(index.slice(lead, shape.size())) : 1;
              return in[0].at(index) / std::sqrt(mean_square + kEps) * w;
            });
          }};
}

// groups 0: instance_norm.
Sample group_norm_sample(const Shape& shape, std::int64_t groups, bool weight, bool bias) {
  auto parameter = [&](bool given) {
    return Input{{shape[1]}, -2, 2, given ? Input::Kind::real : Input::Kind::none};
  };
  return {to_string(shape) + " groups " + std::to_string(groups) + (weight ? " weight" : "") +
              (bias ? " bias" : ""),
          {{shape}, parameter(weight), parameter(bias)},
          [=](const Tensors& in) {
            return groups == 0 ? instance_norm(in[0], in[1], in[2], kEps)
                               : group_norm(in[0], groups, in[1], in[2], kEps);
          },
          [=](const Arrays& in) {
            const std::int64_t width = groups == 0 ? 1 : shape[1] / groups;
            Shape group = shape.slice(1, shape.size());
            group[0] = width;
            return generate(shape, [&](const Dims& index) {
              auto group_mean = [&](const std::function<double(double)>& f) {
                double sum = 0;
                for_each_index(group, [&](const Dims& at) {
                  Dims other = index;
                  for (int i = 0; i < at.size(); ++i) other[i + 1] = at[i];
                  other[1] += index[1] / width * width;
                  sum += f(in[0].at(other));
                });
                return sum / static_cast<double>(numel(group));
              };
              const double mean = group_mean([](double x) { return x; });
              const double variance = group_mean([&](double x) { return std::pow(x - mean, 2); });
              const double xhat = (in[0].at(index) - mean) / std::sqrt(variance + kEps);
              return xhat * (weight ? in[1].at({index[1]}) : 1) + (bias ? in[2].at({index[1]}) : 0);
            });
          }};
}

std::vector<Sample> group_norm_samples(Chooser& choose) {
  std::vector<Sample> samples{group_norm_sample({0, 4, 2, 2}, 2, true, true),
                              group_norm_sample({2, 4, 0}, 2, true, true),
                              group_norm_sample({2, 6}, 3, true, true),
                              group_norm_sample({1, 68, 2, 3}, 2, true, true),
                              group_norm_sample({2, 4, 3, 11}, 4, true, false),
                              group_norm_sample({2, 3, 4, 5}, 1, false, true)};
  for (int i = 0; i < 3; ++i) {
    const std::int64_t groups = choose.between(1, 3);
    Shape shape{choose.between(1, 3), groups * choose.between(1, 3)};
    for (std::int64_t dim = choose.between(0, 3); dim > 0; --dim) {
      shape.push_back(choose.between(1, 5));
    }
    samples.push_back(group_norm_sample(shape, groups, choose.coin(), choose.coin()));
  }
  return samples;
}

struct Moments {
  double mean = 0;
  double variance = 0;
};

Moments moments_of(const Array& x, std::int64_t channel) {
  Moments m;
  double count = 0;
  for_each_index(x.shape, [&](const Dims& index) {
    if (index[1] != channel) return;
    m.mean += x.at(index);
    ++count;
  });
  m.mean /= count;
  for_each_index(x.shape, [&](const Dims& index) {
    if (index[1] == channel) m.variance += std::pow(x.at(index) - m.mean, 2) / count;
  });
  return m;
}

Array normalize(const Arrays& in, bool affine, const std::function<Moments(std::int64_t)>& find) {
  std::vector<Moments> moments;
  for (std::int64_t c = 0; c < in[0].shape[1]; ++c) moments.push_back(find(c));
  return generate(in[0].shape, [&](const Dims& index) {
    const Moments& m = moments[static_cast<std::size_t>(index[1])];
    const double xhat = (in[0].at(index) - m.mean) / std::sqrt(m.variance + kEps);
    return affine ? xhat * in[1].at({index[1]}) + in[2].at({index[1]}) : xhat;
  });
}

Sample training_sample(const Shape& shape, bool affine) {
  const Input parameter{{shape[1]}, -2, 2, affine ? Input::Kind::real : Input::Kind::none};
  return {to_string(shape) + (affine ? " affine" : ""),
          {{shape}, parameter, parameter},
          [](const Tensors& in) { return batch_norm_training(in[0], in[1], in[2], kEps).y; },
          [=](const Arrays& in) {
            return normalize(in, affine, [&](std::int64_t c) { return moments_of(in[0], c); });
          }};
}

Sample inference_sample(const Shape& shape, bool affine) {
  const Input parameter{{shape[1]}, -2, 2, affine ? Input::Kind::real : Input::Kind::none};
  const Input mean{{shape[1]}, -2, 2, Input::Kind::constant};
  const Input variance{{shape[1]}, 0.5, 2, Input::Kind::constant};
  return {to_string(shape) + (affine ? " affine" : ""),
          {{shape}, parameter, parameter, mean, variance},
          [=](const Tensors& in) {
            return batch_norm_inference(in[0], in[3], in[4], in[1], in[2], kEps);
          },
          [=](const Arrays& in) {
            return normalize(in, affine, [&](std::int64_t c) {
              return Moments{in[3].at({c}), in[4].at({c})};
            });
          }};
}

std::vector<Sample> batch_norm_samples(Chooser& choose, Sample (*sample)(const Shape&, bool)) {
  std::vector<Sample> samples{sample({0, 3, 2, 2}, true), sample({4, 1}, true),
                              sample({2, 3, 4, 5}, false)};
  for (int ndim = 2; ndim <= 5; ++ndim) {
    Shape shape;
    for (int i = 0; i < ndim; ++i) shape.push_back(choose.between(1, 4));
    shape[0] = choose.between(2, 4);
    samples.push_back(sample(shape, choose.coin()));
  }
  return samples;
}

}  // namespace

void add_normalization_rows(std::vector<OpRow>& rows) {
  for (const bool log : {false, true}) {
    rows.push_back({log ? "log_softmax" : "softmax",
                    [=](Chooser& choose) {
                      std::vector<Sample> samples{softmax_sample({0, 3}, 1, log),
                                                  softmax_sample({3, 1}, 1, log)};
                      for (int ndim = 1; ndim <= 4; ++ndim) {
                        const auto dim = static_cast<int>(choose.between(0, ndim - 1));
                        samples.push_back(softmax_sample(choose.shape(ndim), dim, log));
                      }
                      return samples;
                    },
                    [=] {
                      return softmax_sample({8192, 1000}, 1, log);
                    }});
  }
  rows.push_back({"cross_entropy",
                  [](Chooser& choose) {
                    std::vector<Sample> samples{
                        cross_entropy_sample(1, 2, {}), cross_entropy_sample(3, 1, {}),
                        cross_entropy_sample(5, 4, {.label_smoothing = 1}),
                        // Some rows of 40 have label 1, and some have not.
                        cross_entropy_sample(40, 3, {.label_smoothing = 0.2, .ignore_index = 1})};
                    for (int i = 0; i < 3; ++i) {
                      samples.push_back(
                          cross_entropy_sample(choose.between(1, 9), choose.between(2, 9),
                                               {.label_smoothing = choose.real(0, 1)}));
                    }
                    return samples;
                  },
                  [] { return cross_entropy_sample(8192, 1000, {.label_smoothing = 0.1}); }});
  rows.push_back({"layer_norm",
                  [](Chooser& choose) {
                    std::vector<Sample> samples{layer_norm_sample({0, 3}, 1, true, true),
                                                layer_norm_sample({3, 0}, 1, true, true),
                                                layer_norm_sample({5}, 1, true, true),
                                                layer_norm_sample({2, 3, 4}, 3, true, false),
                                                layer_norm_sample({3, 2, 3, 17}, 2, false, true),
                                                layer_norm_sample({19, 5}, 1, true, true)};
                    for (int ndim = 1; ndim <= 4; ++ndim) {
                      samples.push_back(layer_norm_sample(choose.shape(ndim),
                                                          static_cast<int>(choose.between(1, ndim)),
                                                          choose.coin(), choose.coin()));
                    }
                    return samples;
                  },
                  [] {
                    return layer_norm_sample({32, 128, 768}, 1, true, true);
                  }});
  rows.push_back({"rms_norm",
                  [](Chooser& choose) {
                    std::vector<Sample> samples{
                        rms_norm_sample({0, 3}, 1, true), rms_norm_sample({3, 0}, 1, true),
                        rms_norm_sample({2, 3, 4}, 3, false), rms_norm_sample({19, 5}, 1, true)};
                    for (int ndim = 1; ndim <= 4; ++ndim) {
                      samples.push_back(rms_norm_sample(choose.shape(ndim),
                                                        static_cast<int>(choose.between(1, ndim)),
                                                        choose.coin()));
                    }
                    return samples;
                  },
                  [] {
                    return rms_norm_sample({32, 128, 768}, 1, true);
                  }});
  rows.push_back({"group_norm", group_norm_samples,
                  [] {
                    return group_norm_sample({32, 64, 56, 56}, 8, true, true);
                  },
                  true});
  rows.push_back({"instance_norm",
                  [](Chooser& choose) {
                    return std::vector<Sample>{
                        group_norm_sample({2, 0, 3}, 0, false, false),
                        group_norm_sample({2, choose.between(1, 4), 3, 2}, 0, true, true),
                        group_norm_sample({choose.between(1, 3), 2, 5}, 0, false, false)};
                  },
                  [] {
                    return group_norm_sample({32, 64, 56, 56}, 0, true, true);
                  },
                  true});
  rows.push_back({"batch_norm_training",
                  [](Chooser& choose) { return batch_norm_samples(choose, training_sample); },
                  [] {
                    return training_sample({32, 64, 56, 56}, true);
                  }});
  rows.push_back({"batch_norm_inference",
                  [](Chooser& choose) { return batch_norm_samples(choose, inference_sample); },
                  [] {
                    return inference_sample({32, 64, 56, 56}, true);
                  }});
}

}  // namespace minidl::test
