// The program of docs/guide/01-tensors.md.

#include <minidl/minidl.h>

#include <cstdio>
#include <iostream>
#include <vector>
namespace dl = minidl;

namespace {

void making() {
  const dl::Tensor a = dl::tensor({{1, 2, 3}, {4, 5, 6}});  // i64, as the numbers are
  const dl::Tensor b = dl::tensor({0.5, 1.5, 2.5});         // f32
  const dl::Tensor c = dl::zeros({2, 3}, {.dtype = dl::f64});
  const dl::Tensor d = dl::arange(0, 10, 2);
  const dl::Tensor e = dl::linspace(0, 1, 5);
  dl::manual_seed(7);
  const dl::Tensor f = dl::randn({2, 3});
  for (const dl::Tensor& x : {a, b, c, d, e, f}) std::cout << describe(x) << "\n";
  std::cout << a << "\n";
}

void wrapping() {
  std::vector<double> values{1, 2, 3, 4, 5, 6};
  const dl::Tensor rows = dl::from_blob(values.data(), {3, 2});
  values[0] = 7;  // seen by the tensor, which must not outlive the vector
  std::cout << describe(rows) << ", " << rows[0][0].item() << "\n";
}

void reading() {
  const dl::Tensor x = dl::tensor({{1, 2, 3}, {4, 5, 6}});
  const auto sum = x.sum().item<std::int64_t>();  // waits for the device, if there is one
  const std::vector<float> values = x.to_vector<float>();
  std::cout << x.numel() << " elements, sum " << sum << ", last " << values.back() << "\n";
}

void indexing() {
  const dl::Tensor x = dl::arange(12).reshape({3, 4});
  std::cout << x[1] << "\n";                                  // x[1]
  std::cout << x[{dl::Slice{1, {}}, -1}] << "\n";             // x[1:, -1]
  std::cout << x[{dl::ellipsis, dl::None, 0}] << "\n";        // x[..., None, 0]
  std::cout << x[x > 8] << "\n";                              // x[x > 8]
  std::cout << x[{dl::tensor({2, 0}), dl::Slice{}}] << "\n";  // x[[2, 0], :]
}

void writing() {
  const dl::Tensor x = dl::zeros({3, 4});
  x[0].fill_(1);                // x[0] = 1: the row is a view
  x[{dl::Slice{}, 3}].add_(5);  // x[:, 3] += 5
  x.index_put_({x == 5}, -1);   // x[x == 5] = -1
  x[1].copy_(dl::arange(4));    // converts
  std::cout << x << "\n";
}

void sharing() {
  const dl::Tensor x = dl::arange(6);
  dl::Tensor same;
  same = x;                                   // another handle on the same tensor
  const dl::Tensor view = x.reshape({2, 3});  // another shape of the same memory
  const dl::Tensor copy = x.clone();          // memory of its own
  x.fill_(9);
  std::printf("%g %g %g\n", same[5].item(), view[{1, 2}].item(), copy[5].item());
}

void computing() {
  const dl::Tensor x = dl::tensor({{1, 2}, {3, 4}});
  const dl::Tensor row = dl::tensor({10, 20});
  std::cout << x + row << "\n";  // broadcast: [2, 2] with [2]
  std::cout << x / 2 << "\n";    // true division: f32
  std::cout << matmul(x.to(dl::f32), x.to(dl::f32).t()) << "\n";
  std::cout << x.sum({0}) << "\n";  // dimensions are lists: one or several
  const auto [values, indices] = x.max(1);
  std::cout << values << "\n" << indices << "\n";
  std::cout << where(x > 2, x, 0) << "\n";
}

void mistakes() {
  try {
    dl::zeros({2, 3}) + dl::zeros({4, 3});
  } catch (const dl::Error& error) {
    std::cout << error.what() << "\n";
  }
  try {
    dl::arange(5)[{dl::Slice{}, 0}];
  } catch (const dl::Error& error) {
    std::cout << error.what() << "\n";
  }
}

}  // namespace

int main() {
  making();
  wrapping();
  reading();
  indexing();
  writing();
  sharing();
  computing();
  mistakes();
}
