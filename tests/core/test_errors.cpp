// Misuse of the public functions: what the message must say. Views, matmul and autograd have their
// own tables.

#include <cmath>
#include <functional>
#include <string>
#include <vector>

#include "minidl/core/communicator.h"
#include "minidl/core/ops/attention.h"
#include "minidl/core/ops/batch_norm.h"
#include "minidl/core/ops/conv.h"
#include "minidl/core/ops/conv_transpose.h"
#include "minidl/core/ops/dropout.h"
#include "minidl/core/ops/elementwise.h"
#include "minidl/core/ops/embedding.h"
#include "minidl/core/ops/group_norm.h"
#include "minidl/core/ops/layer_norm.h"
#include "minidl/core/ops/pool.h"
#include "minidl/core/ops/softmax.h"
#include "minidl/core/ops/upsample.h"
#include "minidl/kernels/common/error.h"
#include "tests/catch.h"
#include "tests/misuse.h"

using namespace minidl;
using namespace minidl::test;

namespace {

Tensor image() {
  return ones({1, 4, 5, 5});
}
Tensor labels(const std::vector<double>& values) {
  return tensor(values, {static_cast<std::int64_t>(values.size())}, {.dtype = i64});
}

}  // namespace

TEST_CASE("errors: elementwise", "[errors]") {
  check_table({
      {[] { add(ones({2}), ones({3})); }, {"add", "[2]", "[3]"}},
      {[] {
         mul(ones({2, 3}), ones({3, 2}));
       },
       {"mul", "[2, 3]", "[3, 2]"}},
      {[] { maximum(ones({2}), ones({3})); }, {"maximum", "[2]"}},
      {[] { exp(ones({1}, {.dtype = i32})); }, {"exp", "i32"}},
      {[] { add(ones({1}), Tensor()); }, {"undefined"}},
      {[] { relu(Tensor()); }, {"relu"}},
      {[] { ones({1}, {.dtype = i32}).uniform_(); }, {"uniform", "i32"}},
      {[] { randn({2}, {.dtype = i64}); }, {"normal", "i64"}},
  });
}

TEST_CASE("errors: reductions", "[errors]") {
  check_table({
      {[] {
         ones({2, 3}).sum({2});
       },
       {"sum", "dimension 2"}},
      {[] {
         ones({2, 3}).mean({0, -2});
       },
       {"mean", "twice"}},
      {[] { zeros({0}).amax(); }, {"amax", "[0]"}},
      {[] {
         zeros({2, 0}).amin({1});
       },
       {"amin", "[2, 0]"}},
      {[] {
         zeros({2, 0}).argmax(1);
       },
       {"argmax", "[2, 0]"}},
      {[] { ones({2}).argmax(1); }, {"argmax", "dimension 1"}},
  });
}

TEST_CASE("errors: convolution", "[errors]") {
  const Tensor weight = ones({6, 4, 3, 3});
  check_table({
      {[&] {
         conv2d(ones({4, 5, 5}), weight);
       },
       {"conv2d", "[4, 5, 5]"}},
      {[&] {
         conv2d(image(), ones({6, 4, 3}));
       },
       {"conv2d", "[6, 4, 3]"}},
      {[&] {
         conv2d(image(), ones({6, 3, 3, 3}));
       },
       {"4 channels", "wants 3"}},
      {[&] { conv2d(image(), weight, ones({4})); }, {"bias", "[4]"}},
      {[&] { conv2d(image().to(f64), weight); }, {"f64", "f32"}},
      {[&] { conv2d(image(), weight, {}, {.groups = 3}); }, {"3 groups"}},
      {[&] { conv2d(image(), weight, {}, {.groups = 0}); }, {"0 groups"}},
      {[&] {
         conv2d(image(), weight, {}, {.stride = {0, 1}});
       },
       {"stride 0"}},
      {[&] {
         conv2d(image(), weight, {}, {.padding = {-1, 0}});
       },
       {"padding -1"}},
      {[&] {
         conv2d(image(), weight, {}, {.dilation = {3, 3}});
       },
       {"7 pixels", "input of 5"}},
      {[&] { conv2d(image(), Tensor()); }, {"conv2d"}},
      {[&] {
         conv2d(image(), ones({6, 4, 0, 3}));
       },
       {"kernel 0"}},
  });
}

TEST_CASE("errors: transposed and one-dimensional convolution", "[errors]") {
  const Tensor weight = ones({4, 3, 3, 3});
  const auto transpose = [weight](const ConvTranspose2dParams& params) {
    return [=] { conv_transpose2d(image(), weight, {}, params); };
  };
  check_table({
      {[&] {
         conv_transpose2d(ones({4, 5, 5}), weight);
       },
       {"conv_transpose2d", "[4, 5, 5]"}},
      {[&] {
         conv_transpose2d(image(), ones({4, 3, 3}));
       },
       {"[4, 3, 3]"}},
      {[&] {
         conv_transpose2d(image(), ones({3, 3, 3, 3}));
       },
       {"4 channels", "wants 3"}},
      {[&] { conv_transpose2d(image(), weight, ones({4})); }, {"bias", "[4]", "3 channels"}},
      {[&] { conv_transpose2d(image().to(f64), weight); }, {"f64", "f32"}},
      {transpose({.groups = 3}), {"3 groups"}},
      {transpose({.stride = {0, 1}}), {"stride 0"}},
      {transpose({.padding = {0, -1}}), {"padding -1"}},
      {transpose({.padding = {4, 4}}), {"5 pixels", "gives -1"}},
      {transpose({.stride = {2, 2}, .output_padding = {0, 2}}),
       {"output_padding 2", "stride of 2"}},
      {[&] {
         conv_transpose2d(image(), ones({4, 3, 0, 3}));
       },
       {"kernel 0"}},
      {[&] {
         conv1d(image(), ones({2, 4, 3}));
       },
       {"conv1d", "[1, 4, 5, 5]"}},
      {[&] {
         conv1d(ones({1, 4, 5}), ones({2, 3, 3}));
       },
       {"4 channels"}},
  });
}

TEST_CASE("errors: resizing", "[errors]") {
  const auto resize = [](const InterpolateOptions& options) {
    return [=] { interpolate(image(), options); };
  };
  check_table({
      {[] {
         interpolate(ones({2, 2}), {.size = {{2, 2}}});
       },
       {"interpolate", "[2, 2]"}},
      {[] {
         interpolate(ones({1, 1, 0, 2}), {.size = {{2, 2}}});
       },
       {"no pixels"}},
      {resize({}), {"either size or scale_factor"}},
      {resize({.size = {{2, 2}}, .scale_factor = {{2, 2}}}), {"either"}},
      {resize({.size = {{2, 0}}}), {"2x0"}},
      {resize({.scale_factor = {{0.1, 1}}}), {"0x5"}},
      {resize({.scale_factor = {{1, NAN}}}), {"nan"}},
      {resize({.scale_factor = {{-1, 1}}}), {"-1"}},
      {resize({.scale_factor = {{1, 1e300}}}), {"1e+300"}},
      {resize({.size = {{2, 2}}, .align_corners = true}), {"align_corners", "bilinear"}},
  });
}

TEST_CASE("errors: norms of groups and rows", "[errors]") {
  check_table({
      {[] { group_norm(ones({4}), 2); }, {"group_norm", "[4]"}},
      {[] { group_norm(image(), 3); }, {"3 groups", "4 channels"}},
      {[] { group_norm(image(), 0); }, {"0 groups"}},
      {[] { group_norm(image(), 2, ones({2})); }, {"f32[4]", "f32[2]"}},
      {[] { group_norm(image(), 2, {}, ones({4}, {.dtype = f64})); }, {"f64[4]"}},
      {[] {
         instance_norm(ones({2, 3}));
       },
       {"instance_norm", "[2, 3]"}},
      {[] {
         rms_norm(ones({2, 3}), {2});
       },
       {"rms_norm", "[2, 3]", "[2]"}},
      {[] {
         rms_norm(ones({2, 3}), {});
       },
       {"rms_norm", "no dimension"}},
      {[] {
         rms_norm(ones({2, 3}), {3}, ones({2}));
       },
       {"f32[3]", "f32[2]"}},
      {[] { rms_norm(ones({2}, {.dtype = i32}), {2}); }, {"rms_norm", "i32"}},
  });
}

TEST_CASE("errors: pooling", "[errors]") {
  check_table({
      {[] {
         max_pool2d(ones({2, 2}), {});
       },
       {"max_pool2d", "[2, 2]"}},
      {[] {
         max_pool2d(image(), {.kernel = {7, 7}});
       },
       {"max_pool2d", "7"}},
      {[] {
         avg_pool2d(image(), {.kernel = {0, 1}});
       },
       {"avg_pool2d", "0"}},
      {[] {
         avg_pool2d(image(), {.kernel = {2, 2}, .padding = {2, 2}});
       },
       {"avg_pool2d", "2"}},
      {[] {
         max_pool2d(image(), {.dilation = {1, 0}});
       },
       {"max_pool2d", "dilation 0"}},
      {[] {
         max_pool2d(image(), {.dilation = {INT64_MAX, 1}});
       },
       {"max_pool2d", "beyond reason"}},
      {[] {
         max_pool2d(image(), {.dilation = {9, 1}});
       },
       {"max_pool2d", "does not fit", "dilation 9"}},
      {[] {
         max_pool2d(image(), {.kernel = {9, 2}, .stride = {1, 1}, .ceil_mode = true});
       },
       {"max_pool2d", "does not fit"}},
      {[] {
         max_pool2d(ones({1, 1, 1, 1}), {.padding = {1, 1}, .dilation = {2, 2}});
       },
       {"max_pool2d", "lies outside"}},
      {[] {
         avg_pool2d(image(), {.dilation = {2, 1}});
       },
       {"avg_pool2d", "only max_pool2d has a dilation"}},
      {[] {
         max_pool2d(image(), {.stride = {-1, 1}});
       },
       {"max_pool2d", "-1"}},
      {[] {
         adaptive_avg_pool2d(ones({2, 2}), {1, 1});
       },
       {"adaptive_avg_pool2d", "[2, 2]"}},
      {[] {
         adaptive_max_pool2d(image(), {0, 1});
       },
       {"adaptive_max_pool2d", "0"}},
  });
}

TEST_CASE("errors: normalisation, softmax, dropout", "[errors]") {
  check_table({
      {[] { batch_norm_training(ones({4}), {}, {}, 1e-5); }, {"batch_norm", "[4]"}},
      {[] { batch_norm_training(image(), ones({4}), {}, 1e-5); }, {"weight and bias"}},
      {[] { batch_norm_training(image(), ones({3}), ones({3}), 1e-5); }, {"f32[4]", "f32[3]"}},
      {[] { batch_norm_inference(image(), ones({3}), ones({4}), {}, {}, 1e-5); }, {"f32[3]"}},
      {[] { batch_norm_inference(image().to(f64), ones({4}), ones({4}), {}, {}, 1e-5); },
       {"f64[4]", "f32[4]"}},
      {[] { softmax(ones({2}), 1); }, {"softmax", "dimension 1"}},
      {[] { log_softmax(scalar(1), 0); }, {"log_softmax", "0-D"}},
      {[] { dropout(ones({2}), 1.5); }, {"dropout", "1.5"}},
      {[] { dropout(ones({2}), NAN); }, {"dropout", "nan"}},
      {[] { dropout(ones({2}), -0.1, false); }, {"dropout", "-0.1"}},
  });
}

TEST_CASE("errors: layer norm, masked softmax, embedding, attention", "[errors]") {
  const Tensor mask = ones({3}, {.dtype = boolean});
  check_table({
      {[] { layer_norm(ones({4}), {}); }, {"layer_norm", "normalized_shape"}},
      {[] {
         layer_norm(ones({2, 4}), {3});
       },
       {"layer_norm", "[2, 4]", "[3]"}},
      {[] {
         layer_norm(ones({4}), {2, 4});
       },
       {"layer_norm", "[2, 4]"}},
      {[] {
         layer_norm(ones({2, 4}), {4}, ones({3}));
       },
       {"f32[4]", "f32[3]"}},
      {[] {
         layer_norm(ones({2, 4}).to(f64), {4}, {}, ones({4}));
       },
       {"f64[4]", "f32[4]"}},
      {[] { layer_norm(ones({4}, {.dtype = i32}), {4}); }, {"layer_norm", "i32"}},
      {[] { masked_softmax(ones({3}), ones({3}), 0); }, {"masked_softmax", "bool", "f32"}},
      {[&] { masked_softmax(ones({2}), mask, 0); }, {"masked_softmax", "[3]", "[2]"}},
      {[&] { masked_softmax(ones({1}), mask, 0); }, {"masked_softmax", "[3]", "[1]"}},
      {[] {
         embedding(labels({0, 7}), ones({4, 2})).sum().item();
       },
       {"embedding", "[1] is 7", "4 rows"}},
      {[] {
         embedding(ones({2}), ones({4, 2}));
       },
       {"embedding", "i64", "f32"}},
      {[] { embedding(labels({0}), ones({4})); }, {"embedding", "[V, D]", "[4]"}},
      {[] {
         embedding(labels({0}), ones({4, 2}), 4);
       },
       {"padding_idx is 4", "4 rows"}},
      {[] {
         scaled_dot_product_attention(ones({4}), ones({3, 4}), ones({3, 4}));
       },
       {"scaled_dot_product_attention", "[..., L, E]", "[4]"}},
      {[] {
         scaled_dot_product_attention(ones({2, 4}), ones({3, 5}), ones({3, 4}));
       },
       {"[2, 4]", "[3, 5]"}},
      {[] {
         scaled_dot_product_attention(ones({2, 4}), ones({3, 4}), ones({2, 4}));
       },
       {"[3, 4]", "[2, 4]"}},
      {[] {
         const AttentionOptions options{.mask = ones({2, 3})};
         scaled_dot_product_attention(ones({2, 4}), ones({3, 4}), ones({3, 4}), options);
       },
       {"scaled_dot_product_attention", "bool", "f32"}},
  });
}

TEST_CASE("errors: cross entropy", "[errors]") {
  check_table({
      {[] {
         cross_entropy(ones({2, 3}), labels({0, 3})).item();
       },
       {"cross_entropy", "3", "1"}},
      {[] {
         cross_entropy(ones({2, 3}), labels({-1, 0})).item();
       },
       {"cross_entropy", "-1", "0"}},
      {[] {
         cross_entropy(ones({2, 3}), labels({0}));
       },
       {"[2, 3]", "[1]"}},
      {[] { cross_entropy(ones({3}), labels({0})); }, {"[3]"}},
      {[] {
         cross_entropy(ones({1, 3}), ones({1}));
       },
       {"i64", "f32"}},
      {[] {
         cross_entropy(ones({1, 3}), labels({0}), {.label_smoothing = 2});
       },
       {"smoothing", "2"}},
      {[] {
         cross_entropy(ones({1, 3}), labels({0}), {.label_smoothing = NAN});
       },
       {"nan"}},
      {[] {
         cross_entropy(ones({1, 3}, {.dtype = i32}), labels({0}));
       },
       {"i32"}},
  });
}

TEST_CASE("errors: collectives of one process check like those of many", "[errors]") {
  SingleProcess world;
  check_table({
      {[&] { world.all_reduce(Tensor()); }, {"all_reduce", "undefined"}},
      {[&] {
         world.all_reduce(ones({2, 2}).slice(1, 0, 1));
       },
       {"all_reduce", "gaps"}},
      {[&] { world.all_reduce(ones({1}, {.dtype = u8})); }, {"all_reduce", "u8"}},
      {[&] { world.all_reduce(ones({1}, {.dtype = i32}), Reduction::mean); }, {"mean", "i32"}},
      {[&] { world.broadcast(ones({1}), 1); }, {"broadcast", "rank 1"}},
      {[&] { world.all_gather(ones({2}), ones({3})); }, {"all_gather", "f32[2]", "f32[3]"}},
      {[&] { world.reduce_scatter(ones({2}), ones({1})); }, {"reduce_scatter"}},
  });
}

TEST_CASE("errors: a group of one changes nothing and gathers itself", "[errors]") {
  SingleProcess world;
  const Tensor part = tensor({1, 2}, {2});
  const Tensor whole = zeros({2, 1});
  world.all_reduce(part, Reduction::mean)->wait();
  CHECK(part.to_vector() == std::vector<double>{1, 2});
  world.all_gather(part, whole)->wait();
  CHECK(whole.to_vector() == std::vector<double>{1, 2});
  part.zero_();
  const WorkPtr work = world.reduce_scatter(whole, part);
  work->wait(std::chrono::milliseconds(1));
  CHECK(work->done());
  CHECK(part.to_vector() == std::vector<double>{1, 2});
  CHECK(world.all_gather_text("a\nb") == std::vector<std::string>{"a\nb"});
  CHECK(world.all_gather_text("") == std::vector<std::string>{""});
  CHECK(world.is_main());
  CHECK_NOTHROW(world.barrier());
}

TEST_CASE("errors: contexts and module paths stack up", "[errors]") {
  Error error("bad shape");
  error.add_context("conv2d");
  error.add_module("3");
  error.add_module("features");
  CHECK(std::string(error.what()) == "features.3: conv2d: bad shape");
  error.add_context("model.safetensors");
  error.add_module("net");
  CHECK(std::string(error.what()) == "net: model.safetensors: features.3: conv2d: bad shape");
}
