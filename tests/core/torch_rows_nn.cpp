// Rows of what networks are made of.

#include "minidl/core/ops/attention.h"
#include "minidl/core/ops/batch_norm.h"
#include "minidl/core/ops/conv.h"
#include "minidl/core/ops/conv_transpose.h"
#include "minidl/core/ops/group_norm.h"
#include "minidl/core/ops/layer_norm.h"
#include "minidl/core/ops/loss.h"
#include "minidl/core/ops/matmul.h"
#include "minidl/core/ops/pool.h"
#include "minidl/core/ops/softmax.h"
#include "minidl/core/ops/upsample.h"
#include "tests/core/torch_rows.h"

namespace minidl::test {

using In = const Tensors&;

void add_torch_products(std::vector<TorchRow>& rows) {
  add_row(rows, "matmul", [](In in) { return matmul(in[0], in[1]); });
  add_row(rows, "matmul vector", [](In in) { return matmul(in[0], in[1]); });
  add_row(rows, "linear", [](In in) { return linear(in[0], in[1], in[2]); });
  add_row(rows, "attention",
          [](In in) { return scaled_dot_product_attention(in[0], in[1], in[2]); });
  add_row(rows, "attention causal", [](In in) {
    return scaled_dot_product_attention(in[0], in[1], in[2], {.causal = true});
  });
  add_row(rows, "attention mask", [](In in) {
    return scaled_dot_product_attention(in[0], in[1], in[2], {.mask = in[3], .scale = 0.7});
  });
}

void add_torch_convolutions(std::vector<TorchRow>& rows) {
  add_row(rows, "conv2d", [](In in) { return conv2d(in[0], in[1], in[2]); });
  add_row(rows, "conv2d groups", [](In in) {
    return conv2d(in[0], in[1], {},
                  {.stride = {2, 1}, .padding = {2, 0}, .dilation = {1, 2}, .groups = 2});
  });
  add_row(rows, "conv1d", [](In in) {
    return conv1d(in[0], in[1], in[2], {.stride = 2, .padding = 1, .dilation = 2});
  });
  add_row(rows, "conv_transpose2d", [](In in) {
    return conv_transpose2d(in[0], in[1], in[2], {.stride = {2, 2}});
  });
  add_row(rows, "conv_transpose2d output_padding", [](In in) {
    return conv_transpose2d(in[0], in[1], {},
                            {.stride = {3, 2},
                             .padding = {1, 2},
                             .output_padding = {2, 1},
                             .dilation = {1, 2},
                             .groups = 2});
  });
  add_row(rows, "max_pool2d ceil_mode", [](In in) {
    return max_pool2d(in[0],
                      {.kernel = {3, 2}, .stride = {2, 2}, .padding = {1, 0}, .ceil_mode = true});
  });
  add_row(rows, "avg_pool2d", [](In in) {
    return avg_pool2d(in[0], {.kernel = {3, 3}, .stride = {2, 2}, .padding = {1, 1}});
  });
  add_row(rows, "avg_pool2d ceil_mode", [](In in) {
    return avg_pool2d(in[0], {.kernel = {3, 3},
                              .stride = {2, 2},
                              .padding = {1, 1},
                              .ceil_mode = true,
                              .count_include_pad = false});
  });
  add_row(rows, "avg_pool2d ceil_mode with padding", [](In in) {
    return avg_pool2d(in[0],
                      {.kernel = {3, 2}, .stride = {2, 3}, .padding = {1, 1}, .ceil_mode = true});
  });
  add_row(rows, "adaptive_avg_pool2d", [](In in) { return adaptive_avg_pool2d(in[0], {3, 4}); });
  add_row(rows, "adaptive_max_pool2d", [](In in) { return adaptive_max_pool2d(in[0], {2, 3}); });

  constexpr auto kBilinear = InterpolateMode::bilinear;
  add_row(rows, "interpolate nearest", [](In in) {
    return interpolate(in[0], {.size = {{5, 3}}});
  });
  add_row(rows, "interpolate nearest factor", [](In in) {
    return interpolate(in[0], {.scale_factor = {{1.7, 2.5}}});
  });
  add_row(rows, "interpolate bilinear", [](In in) {
    return interpolate(in[0], {.size = {{5, 3}}, .mode = kBilinear});
  });
  add_row(rows, "interpolate bilinear align_corners", [](In in) {
    return interpolate(in[0], {.size = {{5, 3}}, .mode = kBilinear, .align_corners = true});
  });
  add_row(rows, "interpolate bilinear factor", [](In in) {
    return interpolate(in[0], {.scale_factor = {{1.7, 0.6}}, .mode = kBilinear});
  });
}

void add_torch_normalizations(std::vector<TorchRow>& rows) {
  add_row(rows, "layer_norm", [](In in) { return layer_norm(in[0], {3, 2}, in[1], in[2], 0.1); });
  add_row(rows, "rms_norm", [](In in) { return rms_norm(in[0], {4}, in[1], 0.1); });
  add_row(rows, "rms_norm default eps", [](In in) { return rms_norm(in[0], {4}); });
  add_row(rows, "group_norm", [](In in) { return group_norm(in[0], 2, in[1], in[2], 0.2); });
  add_row(rows, "instance_norm", [](In in) { return instance_norm(in[0], in[1], in[2]); });
  add_row(rows, "batch_norm training",
          [](In in) { return batch_norm_training(in[0], in[1], in[2], 0.1).y; });
  add_row(rows, "batch_norm inference",
          [](In in) { return batch_norm_inference(in[0], in[1], in[2], in[3], in[4], 0.1); });
  add_row(rows, "softmax", [](In in) { return softmax(in[0], 0); });
  add_row(rows, "log_softmax", [](In in) { return log_softmax(in[0], -2); });
}

void add_torch_losses(std::vector<TorchRow>& rows) {
  add_row(rows, "cross_entropy", [](In in) { return cross_entropy(in[0], in[1]); });
  add_row(rows, "cross_entropy smoothing", [](In in) {
    return cross_entropy(in[0], in[1], {.label_smoothing = 0.2, .weight = in[2]});
  });
  add_row(rows, "cross_entropy ignore_index", [](In in) {
    return cross_entropy(in[0], in[1], {.ignore_index = 1, .reduction = LossReduction::sum});
  });
  add_row(rows, "cross_entropy none", [](In in) {
    return cross_entropy(
        in[0], in[1], {.label_smoothing = 0.1, .weight = in[2], .reduction = LossReduction::none});
  });
  add_row(rows, "cross_entropy probabilities",
          [](In in) { return cross_entropy(in[0], in[1], {.label_smoothing = 0.3}); });
  add_row(rows, "nll_loss",
          [](In in) { return nll_loss(in[0], in[1], {.weight = in[2], .ignore_index = 0}); });
  add_row(rows, "mse_loss", [](In in) { return mse_loss(in[0], in[1]); });
  add_row(rows, "l1_loss sum", [](In in) { return l1_loss(in[0], in[1], LossReduction::sum); });
  add_row(rows, "smooth_l1_loss",
          [](In in) { return smooth_l1_loss(in[0], in[1], LossReduction::mean, 0.4); });
  add_row(rows, "smooth_l1_loss beta 0",
          [](In in) { return smooth_l1_loss(in[0], in[1], LossReduction::mean, 0); });
  add_row(rows, "huber_loss",
          [](In in) { return huber_loss(in[0], in[1], LossReduction::none, 0.6); });
  add_row(rows, "binary_cross_entropy",
          [](In in) { return binary_cross_entropy(in[0], in[1], in[2]); });
  add_row(rows, "binary_cross_entropy_with_logits", [](In in) {
    return binary_cross_entropy_with_logits(in[0], in[1], in[2], LossReduction::mean, in[3]);
  });
  add_row(rows, "kl_div", [](In in) { return kl_div(in[0], in[1], LossReduction::batchmean); });
  add_row(rows, "kl_div log_target",
          [](In in) { return kl_div(in[0], in[1], LossReduction::sum, true); });
}

}  // namespace minidl::test
