// Fits y = sin(3a) + bc + d^2 + noise with an MLP. The samples lie in vectors of its own, which
// minidl reads in place. Exits with 1 if the fit is bad or the saved model predicts otherwise.
//   cmake -S . -B build -DCMAKE_BUILD_TYPE=Release -DCMAKE_PREFIX_PATH=<minidl's prefix>
//   cmake --build build && build/mlp_regression
#include <minidl/minidl.h>

#include <cmath>
#include <cstdio>
#include <random>
#include <vector>

namespace dl = minidl;

struct Mlp : dl::nn::Module<Mlp> {
  dl::nn::Linear fc1{*this, "fc1", {.in = 4, .out = 64}};
  dl::nn::Linear fc2{*this, "fc2", {.in = 64, .out = 64}};
  dl::nn::Linear fc3{*this, "fc3", {.in = 64, .out = 1}};
  dl::Tensor forward(const dl::Tensor& x) { return fc3(dl::gelu(fc2(dl::gelu(fc1(x))))); }
};

int main() try {
  constexpr int kTrain = 4000, kTest = 1000;
  std::mt19937 random(1);
  std::uniform_real_distribution<float> uniform(-1, 1);
  std::normal_distribution<float> noise(0, 0.05F);
  std::vector<float> features, targets;  // must outlive the tensors, which do not copy them
  for (int i = 0; i < kTrain + kTest; ++i) {
    const float a = uniform(random), b = uniform(random), c = uniform(random), d = uniform(random);
    features.insert(features.end(), {a, b, c, d});
    targets.push_back(std::sin(3 * a) + b * c + d * d + noise(random));
  }
  const auto x = dl::from_blob(features.data(), {kTrain + kTest, 4}).split({kTrain, kTest});
  const auto y = dl::from_blob(targets.data(), {kTrain + kTest, 1}).split({kTrain, kTest});
  const dl::data::Loader loader(dl::data::TensorDataset(x[0], y[0]),
                                {.global_batch = 50, .shuffle = true, .seed = 1});
  dl::manual_seed(1);
  Mlp net, loaded;
  dl::optim::AdamW optimizer(net.parameters(), {.lr = 2e-3});
  for (int epoch = 1; epoch <= 30; ++epoch) {
    dl::Tensor loss;
    for (const auto& [inputs, wanted] : loader.epoch(epoch)) {
      optimizer.zero_grad();
      loss = dl::mse_loss(net(inputs), wanted);
      loss.backward();
      optimizer.step();
    }
    if (epoch % 6 == 0) std::printf("epoch %2d: loss %.4f\n", epoch, loss.item());
  }
  dl::save(net, "mlp.safetensors");
  dl::load(loaded, "mlp.safetensors");
  const dl::NoGradGuard no_grad;
  const double rmse = std::sqrt(dl::mse_loss(net(x[1]), y[1]).item());
  const bool same = dl::equal(net(x[1]), loaded(x[1]));
  std::printf("test RMSE %.4f, predictions after loading: %s\n", rmse, same ? "equal" : "other");
  return rmse < 0.1 && same ? 0 : 1;
} catch (const dl::Error& error) {
  std::fprintf(stderr, "error: %s\n", error.what());
  return 1;
}
