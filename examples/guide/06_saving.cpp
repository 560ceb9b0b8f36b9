// The program of docs/guide/06-saving.md. Writes into the current folder.

#include <minidl/minidl.h>

#include <cstdio>
#include <iostream>
#include <string>
namespace dl = minidl;
namespace nn = minidl::nn;

namespace {

struct Net : nn::Module<Net> {
  nn::Linear body{*this, "body", {.in = 4, .out = 8}};
  nn::BatchNorm1d bn{*this, "bn", 8};
  nn::Linear head{*this, "head", {.in = 8, .out = 3}};
  dl::Tensor forward(const dl::Tensor& x) { return head(dl::relu(bn(body(x)))); }
};

void a_model() {
  Net net;
  dl::save(net, "net.safetensors");
  Net other;
  dl::load(other, "net.safetensors");
  net.eval();
  other.eval();
  const dl::Tensor x = dl::randn({2, 4});
  std::printf("%s\n", dl::equal(net(x), other(x)) ? "the same" : "different");
}

struct Finetuned : nn::Module<Finetuned> {
  nn::Linear body{*this, "body", {.in = 4, .out = 8}};
  nn::BatchNorm1d bn{*this, "bn", 8};
  nn::Linear head{*this, "head", {.in = 8, .out = 5}};
  nn::Linear extra{*this, "extra", {.in = 5, .out = 5, .bias = false}};
};

void what_fits() {
  Finetuned net;
  try {
    dl::load(net, "net.safetensors");
  } catch (const dl::Error& error) {
    std::printf("%s\n", error.what());
  }
  const nn::LoadReport report = dl::load(net, "net.safetensors", /*strict=*/false);
  std::cout << report.missing.size() << " missing, " << report.unexpected.size() << " unexpected, "
            << report.mismatched.size() << " mismatched\n";
}

void renaming() {
  Net net;
  dl::StateDict state = dl::load_safetensors("net.safetensors").tensors;
  for (dl::NamedTensor& entry : state) entry.name = "module." + entry.name;  // as DDP saves them
  for (dl::NamedTensor& entry : state) {
    if (entry.name.starts_with("module.")) entry.name.erase(0, 7);
  }
  net.load_state_dict(state);
}

void other_tensors() {
  dl::save_safetensors("batch.safetensors", {{"x", dl::randn({2, 3})}, {"y", dl::tensor({0, 1})}},
                       {{"source", "chapter 6"}});
  const dl::SafetensorsFile file = dl::load_safetensors("batch.safetensors");
  for (const dl::NamedTensor& entry : file.tensors) {
    std::printf("%s %s\n", entry.name.c_str(), describe(entry.tensor).c_str());
  }
  std::printf("from %s\n", file.metadata.at("source").c_str());

  dl::save_npy("weights.npy", dl::eye(3));
  std::printf("%s\n", describe(dl::load_npy("weights.npy")).c_str());
}

void a_training() {
  Net net;
  dl::optim::AdamW optimizer(net.named_parameters(), {.lr = 0.01});
  dl::optim::Scheduler scheduler(optimizer, dl::optim::cosine_schedule(100));
  for (int step = 0; step < 50; ++step) {
    optimizer.zero_grad();
    dl::cross_entropy(net(dl::randn({8, 4})), dl::randint(3, {8})).backward();
    optimizer.step();
    scheduler.step();
  }
  dl::save(net, "net.safetensors");
  dl::save(optimizer, "optimizer.safetensors");
  dl::save(scheduler, "scheduler.safetensors");

  // Another process, later: everything is made as before, then loaded.
  Net again;
  dl::optim::AdamW its_optimizer(again.named_parameters(), {.lr = 0.01});
  dl::optim::Scheduler its_scheduler(its_optimizer, dl::optim::cosine_schedule(100));
  dl::load(again, "net.safetensors");
  dl::load(its_optimizer, "optimizer.safetensors");
  dl::load(its_scheduler, "scheduler.safetensors");
  std::printf("learning rates %.4f and %.4f\n", optimizer.lr(), its_optimizer.lr());
}

void averages() {
  Net net;
  dl::optim::SGD optimizer(net.parameters(), {.lr = 0.1});
  dl::train::ExponentialMovingAverage average(net, {.decay = 0.9});
  for (int step = 0; step < 10; ++step) {
    optimizer.zero_grad();
    dl::cross_entropy(net(dl::randn({8, 4})), dl::randint(3, {8})).backward();
    optimizer.step();
    average.update();
  }
  average.swap();  // the net has the averages
  dl::save(net, "averaged.safetensors");
  average.swap();  // and its own values again
}

void random_numbers() {
  const dl::Generator::State state = dl::default_generator().state();
  const dl::Tensor a = dl::rand({3});
  dl::default_generator().set_state(state);
  const dl::Tensor b = dl::rand({3});
  std::printf("%s\n", dl::equal(a, b) ? "the same draws" : "other draws");
}

}  // namespace

int main() {
  a_model();
  what_fits();
  renaming();
  other_tensors();
  a_training();
  averages();
  random_numbers();
}
