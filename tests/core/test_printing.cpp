// What a tensor looks like.

#include <cmath>
#include <sstream>
#include <string>
#include <vector>

#include "minidl/core/factories.h"
#include "minidl/core/ops/elementwise.h"
#include "minidl/core/tensor.h"
#include "tests/catch.h"
#include "tests/device.h"

using namespace minidl;
using test::on_test_device;

namespace {

// Without the last line, which describes.
std::string body(const Tensor& tensor) {
  const std::string text = to_string(tensor);
  return text.substr(0, text.rfind('\n'));
}

}  // namespace

TEST_CASE("printing: numbers stand in columns, as PyTorch writes them", "[printing]") {
  struct Row {
    Tensor tensor;
    std::string text;
  };
  const std::vector<Row> rows{
      {tensor({1.0, 2.0, 3.0}), "[1., 2., 3.]"},
      {tensor({1.5, -2.25, 0}), "[ 1.5000, -2.2500,  0.0000]"},
      {tensor({{1.0, 20.0}, {-3.0, 4.0}}), "[[ 1., 20.],\n [-3.,  4.]]"},
      {tensor({1, -20, 3}), "[  1, -20,   3]"},
      {tensor({true, false}), "[ true, false]"},
      {tensor({1e-5, 1.0}), "[1.0000e-05, 1.0000e+00]"},
      {tensor({1.0, 1001.0}), "[1.0000e+00, 1.0010e+03]"},
      {tensor({1.0, 1000.0}), "[   1., 1000.]"},
      {tensor({2e8, 3e8}), "[2.0000e+08, 3.0000e+08]"},
      {tensor({0.00005}), "[5.0000e-05]"},
      {tensor({1.0, NAN, INFINITY, -INFINITY}), "[  1.,  nan,  inf, -inf]"},
      {tensor({0.5, NAN}), "[0.5000,    nan]"},
      {tensor({NAN}), "[nan]"},
      {tensor({0.0, 0.0}), "[0., 0.]"},
      {tensor({0.25, 3.0}, {.dtype = f16}), "[0.2500, 3.0000]"},
      {tensor({9007199254740993}), "[9007199254740993]"},
      {tensor({200, 7}, {.dtype = u8}), "[200,   7]"},
      {tensor(2.5), "2.5000"},
      {tensor(7), "7"},
      {zeros({0, 3}), "[]"},
      {tensor({{{1}, {2}}, {{3}, {4}}}), "[[[1],\n  [2]],\n\n [[3],\n  [4]]]"},
      {tensor({{1, 2}, {3, 4}}).t(), "[[1, 3],\n [2, 4]]"},
  };
  for (const Row& row : rows) {
    CHECK(body(row.tensor) == row.text);
  }
}

TEST_CASE("printing: long rows are broken into lines", "[printing]") {
  std::string expected =
      "[ 0,  1,  2,  3,  4,  5,  6,  7,  8,  9, 10, 11, 12, 13, 14, 15, 16, 17, "
      "18,\n 19, 20]";
  CHECK(body(arange(21)) == expected);
}

TEST_CASE("printing: of more than 1000 elements the edges are shown", "[printing]") {
  CHECK(body(arange(1000)).find("...") == std::string::npos);
  CHECK(body(arange(1001)) == "[   0,    1,    2, ...,  998,  999, 1000]");
  CHECK(body(arange(10000).reshape({100, 100})) ==
        "[[   0,    1,    2, ...,   97,   98,   99],\n"
        " [ 100,  101,  102, ...,  197,  198,  199],\n"
        " [ 200,  201,  202, ...,  297,  298,  299],\n"
        " ...,\n"
        " [9700, 9701, 9702, ..., 9797, 9798, 9799],\n"
        " [9800, 9801, 9802, ..., 9897, 9898, 9899],\n"
        " [9900, 9901, 9902, ..., 9997, 9998, 9999]]");
  CHECK(body(arange(3000).reshape({1500, 2})) ==
        "[[   0,    1],\n [   2,    3],\n [   4,    5],\n ...,\n [2994, 2995],\n [2996, 2997],\n"
        " [2998, 2999]]");
}

TEST_CASE("printing: the last line says what it is", "[printing]") {
  const std::string place = on_test_device();
  CHECK(to_string(zeros({2})) == "[0., 0.]\nf32[2]" + place);
  CHECK(to_string(ones({}, {.dtype = i32})) == "1\ni32[]" + place);
  const Tensor leaf = zeros({1}).set_requires_grad();
  CHECK(to_string(leaf) == "[0.]\nf32[1]" + place + ", requires_grad");
  CHECK(to_string(exp(leaf)) == "[1.]\nf32[1]" + place + ", computed by exp");
  std::ostringstream out;
  out << zeros({1});
  CHECK(out.str() == to_string(zeros({1})));
}

TEST_CASE("printing: what has no elements says so", "[printing][fake]") {
  CHECK(to_string(Tensor()) == "undefined tensor");
  CHECK(to_string(fake({2, 3})) == "fake f32[2, 3]" + on_test_device());
  const Tensor released = zeros({2});
  released.storage().release();
  CHECK(to_string(released) == "f32[2]" + on_test_device() + ", released");
}
