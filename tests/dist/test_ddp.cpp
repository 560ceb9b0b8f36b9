#include <unistd.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <limits>
#include <string>
#include <vector>

#include "minidl/core/grad_mode.h"
#include "minidl/core/ops/elementwise.h"
#include "minidl/core/ops/matmul.h"
#include "minidl/core/ops/softmax.h"
#include "minidl/core/random.h"
#include "minidl/core/serialization/safetensors.h"
#include "minidl/dist/ddp.h"
#include "minidl/kernels/common/error.h"
#include "tests/catch.h"
#include "tests/dist/world.h"

namespace minidl {
namespace {

using dist::DataParallel;
using test::world;

constexpr std::int64_t kFeatures = 12;
constexpr std::int64_t kClasses = 5;

// Two layers, one buffer, and a parameter that is only used on request.
struct Mlp : nn::Module<Mlp> {
  explicit Mlp(DType dtype = f32, std::int64_t hidden = 17) {
    to(dtype);
    Tensor* const parameters[] = {&weight1, &bias1, &weight2, &bias2, &extra};
    const Shape shapes[] = {
        {hidden, kFeatures}, {hidden}, {kClasses, hidden}, {kClasses}, {kClasses}};
    const char* const names[] = {"weight1", "bias1", "weight2", "bias2", "extra"};
    for (int i = 0; i < 5; ++i) {
      *parameters[i] =
          register_parameter(names[i], affine(randn(shapes[i], {.dtype = dtype}), 0.3, 0));
    }
    seen = register_buffer("seen", zeros({}, {.dtype = i64}));
    scale = register_buffer("scale", ones({2}, {.dtype = dtype}));
  }

  Tensor forward(const Tensor& x, bool use_extra = false) {
    if (training()) {
      const NoGradGuard no_grad;
      seen.fill_(seen.item() + static_cast<double>(x.size(0)));
    }
    const Tensor logits = linear(relu(linear(x, weight1, bias1)), weight2, bias2);
    return use_extra ? logits + extra : logits;
  }

  Tensor weight1, bias1, weight2, bias2, extra, seen, scale;
};

void sgd_step(const Tensors& parameters) {
  const NoGradGuard no_grad;
  for (const Tensor& parameter : parameters) {
    if (parameter.grad().defined()) parameter.add_(parameter.grad(), -0.1);
  }
}

struct Batch {
  Tensor x;
  Tensor y;

  Batch part(std::int64_t begin, std::int64_t end) const {
    return {x.slice(0, begin, end).contiguous(), y.slice(0, begin, end).contiguous()};
  }
};

Batch make_batch(std::int64_t size, DType dtype) {
  const Tensor x = randn({size, kFeatures}, {.dtype = dtype});
  const Tensor classes = affine(rand({size}, {.dtype = f64}), static_cast<double>(kClasses), 0);
  return {x, classes.to(i64)};
}

// How `size` samples are dealt out in step `step`: unevenly, and now and then not at all.
std::vector<std::int64_t> cuts(std::int64_t size, int step) {
  std::vector<std::int64_t> result{0};
  for (int rank = 1; rank < world().size(); ++rank) {
    const std::int64_t cut = (step * 7 + rank * rank * 3) % (size + 1);
    result.push_back(std::max(cut, result.back()));
  }
  result.push_back(size);
  return result;
}

Batch my_part(const Batch& batch, int step) {
  const std::vector<std::int64_t> all = cuts(batch.x.size(0), step);
  const auto rank = static_cast<std::size_t>(world().rank());
  return batch.part(all[rank], all[rank + 1]);
}

double largest_difference(const Tensors& a, const Tensors& b) {
  double largest = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const std::vector<double> left = a[i].to_vector();
    const std::vector<double> right = b[i].to_vector();
    for (std::size_t j = 0; j < left.size(); ++j) {
      const double difference = std::abs(left[j] - right[j]);
      if (!(difference <= largest)) largest = difference;  // NaN counts
    }
  }
  return largest;
}

std::vector<double> all_values(const Tensors& tensors) {
  std::vector<double> values;
  for (const Tensor& tensor : tensors) {
    for (const double value : tensor.to_vector()) values.push_back(value);
  }
  return values;
}

// 50 steps on uneven parts. Returns the parameters; `losses` gets the global mean of each step.
Tensors train_in_parallel(DType dtype, const dist::DataParallelOptions& options,
                          std::vector<double>& losses) {
  manual_seed(11 + static_cast<std::uint64_t>(world().rank()));  // rank 0's values win
  Mlp net(dtype);
  DataParallel model(net, world(), options);
  manual_seed(5);
  for (int step = 0; step < 50; ++step) {
    const Batch batch = make_batch(13, dtype);
    const Batch mine = my_part(batch, step);
    model.zero_grad();
    const Tensor loss = cross_entropy(model(mine.x), mine.y);
    loss.backward();
    sgd_step(model.parameters());
    const auto samples = static_cast<double>(mine.x.size(0));
    const Tensor sum = full({1}, samples > 0 ? loss.item() * samples : 0, {.dtype = f64});
    world().communicator().all_reduce(sum)->wait();
    losses.push_back(sum.item() / 13);
  }
  return net.parameters();
}

Tensors train_alone(DType dtype, std::vector<double>& losses) {
  manual_seed(11);
  Mlp net(dtype);
  manual_seed(5);
  for (int step = 0; step < 50; ++step) {
    const Batch batch = make_batch(13, dtype);
    net.zero_grad();
    const Tensor loss = cross_entropy(net(batch.x), batch.y);
    loss.backward();
    sgd_step(net.parameters());
    losses.push_back(loss.item());
  }
  return net.parameters();
}

TEST_CASE("uneven and empty parts train like one process with the whole batch", "[ddp]") {
  const DType dtype = GENERATE(f64, f32);
  // One bucket for all, and one for each parameter.
  const std::int64_t bytes = GENERATE(std::int64_t{25} << 20, std::int64_t{1});
  CAPTURE(name(dtype), bytes);
  dist::DataParallelOptions options;
  options.buckets = {.bucket_bytes = bytes, .first_bucket_bytes = bytes};
  std::vector<double> losses;
  std::vector<double> expected_losses;
  const Tensors parameters = train_in_parallel(dtype, options, losses);
  const Tensors expected = train_alone(dtype, expected_losses);
  const double allowed = dtype == f64 ? 1e-9 : 1e-4;
  REQUIRE(largest_difference(parameters, expected) <= allowed);
  for (std::size_t i = 0; i < losses.size(); ++i) {
    REQUIRE(std::abs(losses[i] - expected_losses[i]) <= allowed);
  }
}

TEST_CASE("two runs give the same bits, on all ranks", "[ddp]") {
  std::vector<double> losses;
  const std::vector<double> first = all_values(train_in_parallel(f32, {}, losses));
  std::vector<double> again_losses;
  const std::vector<double> again = all_values(train_in_parallel(f32, {}, again_losses));
  REQUIRE(first == again);
  REQUIRE(losses == again_losses);

  const auto size = static_cast<std::int64_t>(first.size());
  const Tensor whole = empty({size * world().size()}, {.dtype = f64});
  world().communicator().all_gather(tensor(first, {size}, {.dtype = f64}), whole)->wait();
  for (int rank = 0; rank < world().size(); ++rank) {
    REQUIRE(whole.slice(0, rank * size, (rank + 1) * size).to_vector() == first);
  }
}

TEST_CASE("a rank without samples may have NaN for a gradient", "[ddp]") {
  if (world().size() == 1) return;
  manual_seed(3);
  Mlp net(f64);
  DataParallel model(net, world());
  const Batch batch = make_batch(4, f64);
  const bool idle = !world().is_main();
  const Tensor logits = model(idle ? batch.part(0, 0).x : batch.x);
  const Tensor loss = idle ? affine(logits.sum(), std::numeric_limits<double>::quiet_NaN(), 0)
                           : cross_entropy(logits, batch.y);
  loss.backward();

  manual_seed(3);
  Mlp alone(f64);
  cross_entropy(alone(batch.x), batch.y).backward();
  REQUIRE(largest_difference({net.weight1.grad(), net.bias2.grad()},
                             {alone.weight1.grad(), alone.bias2.grad()}) < 1e-12);
}

TEST_CASE("without any samples gradients are zero", "[ddp]") {
  if (world().size() == 1) return;
  Mlp net;
  DataParallel model(net, world());
  model(zeros({0, kFeatures})).sum().backward();
  for (const double value : net.weight1.grad().to_vector()) REQUIRE(value == 0);
}

TEST_CASE("set_local_samples weighs the next backward only", "[ddp]") {
  const auto rank = static_cast<double>(world().rank());
  const auto size = static_cast<double>(world().size());
  Mlp net(f64);
  DataParallel model(net, world());
  const auto mean_gradient = [&] {  // of a loss whose gradient is this rank's number
    model.zero_grad();
    affine(model(zeros({1, kFeatures}, {.dtype = f64}), true).sum(), rank, 0).backward();
    return net.extra.grad().to_vector().front();
  };
  REQUIRE(mean_gradient() == Approx((size - 1) / 2));
  model.set_local_samples(world().rank());
  const double total = size * (size - 1) / 2;
  const double weighted = (size - 1) * size * (2 * size - 1) / 6;
  REQUIRE(mean_gradient() == Approx(total > 0 ? weighted / total : 0));
  REQUIRE(mean_gradient() == Approx((size - 1) / 2));
  REQUIRE_THROWS_WITH(model.set_local_samples(-1), Contains("-1 samples"));
}

TEST_CASE("a gradient on one rank is a gradient on all, one on none stays absent", "[ddp]") {
  Mlp net(f64);
  DataParallel model(net, world());
  const Tensor x = ones({2, kFeatures}, {.dtype = f64});
  model(x, world().is_main()).sum().backward();
  REQUIRE(net.extra.grad().defined());
  REQUIRE(net.extra.grad().to_vector().front() == Approx(2.0 / world().size()));

  model.zero_grad();
  model(x, false).sum().backward();
  REQUIRE_FALSE(net.extra.grad().defined());
  REQUIRE(net.weight1.grad().defined());
}

TEST_CASE("backward accumulates until zero_grad", "[ddp]") {
  manual_seed(8);
  Mlp net(f64);
  DataParallel model(net, world());
  manual_seed(8);
  Mlp alone(f64);
  for (int step = 0; step < 3; ++step) {
    const Batch batch = make_batch(9, f64);
    const Batch mine = my_part(batch, step);
    cross_entropy(model(mine.x), mine.y).backward();
    cross_entropy(alone(batch.x), batch.y).backward();
  }
  REQUIRE(largest_difference({net.weight1.grad(), net.bias2.grad()},
                             {alone.weight1.grad(), alone.bias2.grad()}) < 1e-12);
}

TEST_CASE("gradients that were dropped or replaced find back into their bucket", "[ddp]") {
  Mlp net(f64);
  DataParallel model(net, world());
  const Tensor x = ones({1, kFeatures}, {.dtype = f64});
  net.extra.set_grad({});
  model(x, true).sum().backward();
  REQUIRE(net.extra.grad().to_vector().front() == Approx(1));
  net.extra.set_grad(full({kClasses}, 5, {.dtype = f64}));
  model(x, true).sum().backward();
  REQUIRE(net.extra.grad().to_vector().front() == Approx(6));
}

TEST_CASE("buckets hold all gradients, the last parameters first", "[ddp]") {
  Mlp net(f32, 100);
  dist::DataParallelOptions options;
  options.buckets = {.bucket_bytes = 2500, .first_bucket_bytes = 64};
  DataParallel model(net, world(), options);
  if (world().size() == 1) {
    REQUIRE(model.bucket_sizes().empty());
    return;
  }
  // extra and bias2; weight2 and bias1; weight1, which fits nowhere.
  REQUIRE(model.bucket_sizes() == std::vector<std::int64_t>{10, 600, 1200});
  REQUIRE_THROWS_WITH(DataParallel(net, world(), {.buckets = {.bucket_bytes = 0}}),
                      Contains("0 bytes"));
}

TEST_CASE("gradients keep the layout of their parameter", "[ddp]") {
  struct Scale : nn::Module<Scale> {
    Tensor forward(const Tensor& x) { return x * weight; }
    Tensor weight = register_parameter("weight", randn({2, 3, 4, 5}).channels_last());
  };
  Scale net;
  DataParallel model(net, world());
  model(ones({2, 3, 4, 5})).sum().backward();
  REQUIRE(net.weight.grad().is_channels_last());
  REQUIRE(net.weight.grad().to_vector() == std::vector<double>(120, 1));
}

TEST_CASE("all ranks start with rank 0's state and keep its buffers", "[ddp]") {
  const int rank = world().rank();
  manual_seed(100 + static_cast<std::uint64_t>(rank));
  Mlp net;
  net.scale.fill_(rank + 1);
  DataParallel model(net, world());
  manual_seed(100);
  const Mlp first;
  REQUIRE(all_values(net.parameters()) == all_values(first.parameters()));
  REQUIRE(net.scale.to_vector() == std::vector<double>{1, 1});

  model(zeros({10 + rank, kFeatures}));
  REQUIRE(net.seen.item() == 10 + rank);
  model(zeros({10 + rank, kFeatures}));  // starts from rank 0's 10
  REQUIRE(net.seen.item() == 20 + rank);
  model.eval();
  const NoGradGuard no_grad;
  model(zeros({1, kFeatures}));
  REQUIRE(net.seen.item() == 20);
}

TEST_CASE("models that differ between the ranks are refused, and the error says where", "[ddp]") {
  if (world().size() == 1) return;
  const int last = world().size() - 1;
  const bool is_last = world().rank() == last;
  Mlp other_shape(f32, is_last ? 18 : 17);
  REQUIRE_THROWS_WITH(
      DataParallel(other_shape, world()),
      Contains("rank 0 has parameter weight1 f32[17, 12]") &&
          Contains("rank " + std::to_string(last) + " has parameter weight1 f32[18, 12]"));
  Mlp other_type(is_last ? f64 : f32);
  REQUIRE_THROWS_WITH(DataParallel(other_type, world()), Contains("f64[17, 12]"));

  Mlp frozen;
  if (is_last) frozen.requires_grad_(false);
  REQUIRE_THROWS_WITH(DataParallel(frozen, world()), Contains("trained"));

  struct OneMore : Mlp {
    explicit OneMore(bool more) {
      if (more) register_buffer("more", zeros({1}));
    }
  };
  OneMore net(is_last);
  REQUIRE_THROWS_WITH(DataParallel(static_cast<Mlp&>(net), world()),
                      Contains("rank 0 has nothing") && Contains("buffer more f32[1]"));
}

TEST_CASE("save writes rank 0's state before any rank goes on", "[ddp]") {
  const Tensor job = scalar(getpid(), {.dtype = i64});  // rank 0's, so that jobs have their own
  world().communicator().broadcast(job, 0)->wait();
  const std::string file = "minidl-test-ddp-" + std::to_string(job.item<int>()) + ".safetensors";
  const std::string path = (std::filesystem::temp_directory_path() / file).string();
  manual_seed(static_cast<std::uint64_t>(world().rank()));
  Mlp mlp(f64);
  DataParallel model(mlp, world());
  save(model, path);
  manual_seed(99);
  Mlp other(f64);
  other.load_state_dict(load_safetensors(path).tensors);
  CHECK(other.weight1.to_vector() == mlp.weight1.to_vector());
  world().communicator().barrier();
  if (world().is_main()) std::filesystem::remove(path);
}

TEST_CASE("freezing after the fact is refused", "[ddp]") {
  if (world().size() == 1) return;
  Mlp net;
  DataParallel model(net, world());
  net.requires_grad_(false);
  REQUIRE_THROWS_WITH(model(ones({1, kFeatures})), Contains("weight1") && Contains("frozen"));
}

TEST_CASE("a wrapper may go before its module, and another may come", "[ddp]") {
  Mlp net(f64);
  const Tensor x = ones({1, kFeatures}, {.dtype = f64});
  {
    DataParallel model(net, world());
    model(x, true).sum().backward();
  }
  net.zero_grad();
  net(x, true).sum().backward();
  REQUIRE(net.extra.grad().to_vector().front() == Approx(1));
  DataParallel model(net, world());
  model.zero_grad();
  model(x, true).sum().backward();
  REQUIRE(net.extra.grad().to_vector().front() == Approx(1));
}

}  // namespace
}  // namespace minidl
