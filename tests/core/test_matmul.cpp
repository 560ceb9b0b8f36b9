// The forms of matmul and linear that the op table does not reach: vectors, batches, misuse.

#include <functional>
#include <string>
#include <vector>

#include "minidl/core/ops/elementwise.h"
#include "minidl/core/ops/matmul.h"
#include "tests/catch.h"

using namespace minidl;
using Values = std::vector<double>;

namespace {

Tensor counted(const Shape& shape) {
  return arange(numel(shape), {.dtype = f64}).reshape(shape).detach();
}

}  // namespace

TEST_CASE("matmul: shapes of every form", "[matmul]") {
  struct Row {
    Shape a, b, result;
  };
  for (const Row& row :
       {Row{{3}, {3}, {}}, Row{{3}, {3, 4}, {4}}, Row{{2, 3}, {3}, {2}}, Row{{1, 3}, {3}, {1}},
        Row{{3}, {3, 1}, {1}}, Row{{1}, {1}, {}}, Row{{2, 3}, {3, 4}, {2, 4}},
        Row{{5, 2, 3}, {3, 4}, {5, 2, 4}}, Row{{2, 3}, {5, 3, 4}, {5, 2, 4}},
        Row{{5, 2, 3}, {3}, {5, 2}}, Row{{3}, {5, 3, 4}, {5, 4}},
        Row{{6, 1, 2, 3}, {5, 3, 4}, {6, 5, 2, 4}}, Row{{0, 3}, {3, 4}, {0, 4}},
        Row{{2, 0}, {0, 4}, {2, 4}}, Row{{0}, {0}, {}}, Row{{0, 2, 3}, {3, 4}, {0, 2, 4}}}) {
    CAPTURE(to_string(row.a), to_string(row.b));
    const Tensor a = counted(row.a).set_requires_grad();
    const Tensor b = counted(row.b).set_requires_grad();
    const Tensor c = matmul(a, b);
    CHECK(c.shape() == row.result);
    c.sum().backward();
    CHECK(a.grad().shape() == row.a);
    CHECK(b.grad().shape() == row.b);
  }
}

TEST_CASE("matmul: values of the vector forms", "[matmul]") {
  const Tensor v = tensor({1, 2, 3}, {3}, {.dtype = f64});
  const Tensor m = counted({3, 2});
  CHECK(matmul(v, v).item() == 14);
  CHECK(matmul(v, m).to_vector() == Values{16, 22});
  CHECK(matmul(m.t(), v).to_vector() == Values{16, 22});
  CHECK(matmul(v, counted({2, 3, 2})).to_vector() == Values{16, 22, 52, 58});
}

TEST_CASE("matmul: gradients of the vector forms", "[matmul]") {
  const Tensor v = tensor({1, 2}, {2}, {.dtype = f64, .requires_grad = true});
  const Tensor m = tensor({3, 4, 5, 6}, {2, 2}, {.dtype = f64, .requires_grad = true});
  matmul(v, m).backward(tensor({1, 10}, {2}, {.dtype = f64}));
  CHECK(v.grad().to_vector() == Values{43, 65});
  CHECK(m.grad().to_vector() == Values{1, 10, 2, 20});
  v.zero_grad();
  matmul(v, v).backward();
  CHECK(v.grad().to_vector() == Values{2, 4});
}

TEST_CASE("matmul: a sum over nothing is zero", "[matmul]") {
  CHECK(matmul(zeros({2, 0}), zeros({0, 2})).to_vector() == Values(4, 0));
}

TEST_CASE("linear: any number of leading dimensions", "[matmul]") {
  const Tensor weight = tensor({1, 0, 0, 0, 2, 0}, {2, 3}, {.dtype = f64});
  const Tensor bias = tensor({10, 20}, {2}, {.dtype = f64});
  CHECK(linear(tensor({1, 2, 3}, {3}, {.dtype = f64}), weight, bias).to_vector() == Values{11, 24});
  const Tensor y = linear(counted({2, 2, 3}), weight);
  CHECK(y.shape() == Shape{2, 2, 2});
  CHECK(y.to_vector() == Values{0, 2, 3, 8, 6, 14, 9, 20});
  CHECK(linear(zeros({0, 3}), zeros({2, 3})).shape() == Shape{0, 2});
}

TEST_CASE("matmul: misuse names the shapes", "[matmul]") {
  struct Row {
    std::function<void()> run;
    std::string text;
  };
  const std::vector<Row> rows{
      {[] { matmul(scalar(1), ones({1})); }, "operands of shape [] and [1] are not matrices"},
      {[] {
         matmul(ones({2, 3}), ones({2, 3}));
       },
       "inner extents of [2, 3] and [2, 3]"},
      {[] { matmul(ones({3}), ones({2})); }, "inner extents"},
      {[] {
         matmul(ones({2, 2, 3}), ones({3, 3, 2}));
       },
       "shapes [2] and [3] do not broadcast"},
      {[] {
         matmul(ones({2, 2}), ones({2, 2}, {.dtype = f64}));
       },
       "f32 and f64"},
      {[] { matmul(Tensor(), ones({1})); }, "undefined"},
      {[] {
         matmul(ones({2, 2}, {.dtype = i32}), ones({2, 2}, {.dtype = i32}));
       },
       "i32"},
      {[] {
         linear(ones({2, 4}), ones({5, 3}));
       },
       "4 features"},
      {[] {
         linear(ones({2, 3}), ones({3}));
       },
       "linear"},
      {[] {
         linear(ones({2, 3}), ones({5, 3}), ones({3}));
       },
       "bias has shape [3]"},
      {[] {
         linear(ones({2, 3}), ones({5, 3}), ones({5}, {.dtype = f64}));
       },
       "f32 and f64"},
      {[] {
         linear(scalar(1), ones({1, 1}));
       },
       "scalar"},
  };
  for (const Row& row : rows) {
    INFO(row.text);
    CHECK_THROWS_WITH(row.run(), Contains(row.text));
  }
}
