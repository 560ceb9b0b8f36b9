// A stack of twelve encoder layers: that it learns, with the norm last or first, and that a longer
// sequence takes memory by its length only.

#include <memory>
#include <string>
#include <vector>

#include "minidl/core/ops/comparison.h"
#include "minidl/core/ops/elementwise.h"
#include "minidl/core/ops/loss.h"
#include "minidl/core/ops/shape.h"
#include "minidl/core/ops/softmax.h"
#include "minidl/core/random.h"
#include "minidl/core/threads.h"
#include "minidl/nn/clip_grad.h"
#include "minidl/nn/modules/container.h"
#include "minidl/nn/modules/embedding.h"
#include "minidl/nn/modules/transformer.h"
#include "minidl/nn/optim/adam.h"
#include "tests/catch.h"

using namespace minidl;

namespace {

constexpr int kLayers = 12;

/// Tokens [N, L] -> logits [N, L, V].
struct Reader : nn::Module<Reader> {
  nn::Embedding tokens;
  nn::Embedding places;
  nn::Sequential layers;
  nn::LayerNorm norm;
  nn::Linear head;

  Reader(std::int64_t words, std::int64_t length, const nn::TransformerEncoderLayerOptions& options)
      : tokens(*this, "tokens", {.num_embeddings = words, .embedding_dim = options.embed_dim}),
        places(*this, "places", {.num_embeddings = length, .embedding_dim = options.embed_dim}),
        layers(*this, "layers"),
        norm(*this, "norm", {.normalized_shape = {options.embed_dim}}),
        head(*this, "head", {.in = options.embed_dim, .out = words}) {
    for (int i = 0; i < kLayers; ++i) layers.append<nn::TransformerEncoderLayer>(options);
  }

  Tensor forward(const Tensor& x) {
    const Tensor place = arange(x.size(1), {.dtype = i64});
    return head(norm(layers(tokens(x) + places(place))));
  }
};

/// The layers are small: a second thread would only wait.
class OneThread {
 public:
  OneThread() { set_num_threads(1); }
  ~OneThread() { set_num_threads(before_); }
  OneThread(const OneThread&) = delete;
  OneThread& operator=(const OneThread&) = delete;

 private:
  int before_ = num_threads();
};

double mean_of(const std::vector<double>& values, std::size_t begin, std::size_t end) {
  double sum = 0;
  for (std::size_t i = begin; i < end; ++i) sum += values[i];
  return sum / static_cast<double>(end - begin);
}

}  // namespace

TEST_CASE("transformer stack: twelve layers learn to read backwards", "[training]") {
  constexpr std::int64_t kWords = 6;
  constexpr std::int64_t kLength = 6;
  constexpr int kSteps = 150;
  struct Row {
    const char* what;
    bool norm_first;
    nn::TransformerActivation activation;
    double lr;
  };
  const Row rows[] = {
      {"norm first, gelu", true, nn::TransformerActivation::gelu, 3e-3},
      {"norm last, relu", false, nn::TransformerActivation::relu, 1e-3},
  };
  const OneThread alone;
  for (const Row& row : rows) {
    INFO(row.what);
    manual_seed(1);
    Reader model(kWords, kLength,
                 {.embed_dim = 24,
                  .heads = 4,
                  .dim_feedforward = 48,
                  .dropout = 0.02,
                  .activation = row.activation,
                  .norm_first = row.norm_first});
    optim::AdamW optimizer(model.parameters(), {.lr = row.lr});
    std::vector<double> losses;
    for (int step = 0; step < kSteps; ++step) {
      const Tensor x = (rand({16, kLength}) * static_cast<double>(kWords)).to(i64);
      const Tensor logits = model(x);
      const Tensor loss = cross_entropy(logits.reshape({-1, kWords}), x.flip({1}).reshape({-1}));
      optimizer.zero_grad();
      loss.backward();
      nn::clip_grad_norm_(model.parameters(), 1);
      optimizer.step();
      losses.push_back(loss.item());
    }
    for (const double loss : losses) REQUIRE(std::isfinite(loss));
    const double first = mean_of(losses, 0, 5);
    const double last = mean_of(losses, losses.size() - 5, losses.size());
    CAPTURE(first, last);
    CHECK(last < first / 2);
  }
}

TEST_CASE("transformer stack: memory grows with the length, not with its square", "[training]") {
  if (!default_device().is_cpu()) return;  // elsewhere the scores are written out
  const OneThread alone;
  struct Row {
    const char* what;
    bool norm_first;
    double dropout;
  };
  for (const Row& row : {Row{"norm last", false, 0}, {"norm first, dropout", true, 0.1}}) {
    INFO(row.what);
    nn::Sequential stack;
    for (int i = 0; i < kLayers; ++i) {
      stack.append<nn::TransformerEncoderLayer>(
          nn::TransformerEncoderLayerOptions{.embed_dim = 8,
                                             .heads = 4,
                                             .dim_feedforward = 16,
                                             .dropout = row.dropout,
                                             .norm_first = row.norm_first});
    }
    // of activations, in forward and backward
    auto peak = [&](std::int64_t length) {
      const Tensor x = randn({1, length, 8});
      Allocator& memory = allocator(cpu);
      memory.reset_peaks();
      const std::int64_t before = memory.stats()[MemoryTag::activation].current;
      square(stack(x)).mean().backward();
      return static_cast<double>(memory.stats()[MemoryTag::activation].peak - before);
    };
    peak(64);  // gradients of parameters stay
    for (const std::int64_t length : {128, 256, 512}) {
      CAPTURE(length);
      CHECK(peak(2 * length) < 2.05 * peak(length));
      CHECK(peak(2 * length) > 1.9 * peak(length));
    }
    CHECK(peak(1024) < 4.0 * 1024 * 1024 * 4);  // the scores of one layer would be more
  }
}
