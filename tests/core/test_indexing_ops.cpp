// gather, scatter and their kin through the public interface: values, edge cases, misuse. The op
// table has their gradients.

#include <string>
#include <vector>

#include "minidl/core/ops/elementwise.h"
#include "minidl/core/ops/indexing.h"
#include "tests/catch.h"
#include "tests/misuse.h"

using namespace minidl;
using namespace minidl::test;
using Values = std::vector<double>;

namespace {

Tensor ids(const Values& values, const Shape& shape, DType dtype = i64) {
  return tensor(values, shape, {.dtype = dtype});
}
Tensor ids(const Values& values) {
  return ids(values, {static_cast<std::int64_t>(values.size())});
}
Tensor counted(const Shape& shape, DType dtype = f32) {
  return arange(numel(shape), {.dtype = dtype}).reshape(shape);
}

struct Row {
  std::string label;
  Tensor result;
  Shape shape;
  Values values;
};

void check_values(const std::vector<Row>& rows) {
  for (const Row& row : rows) {
    INFO(row.label);
    CHECK(row.result.shape() == row.shape);
    CHECK(row.result.to_vector() == row.values);
  }
}

}  // namespace

TEST_CASE("indexing: gather and take_along_dim", "[indexing][cpu]") {
  const Tensor x = counted({2, 3});  // 0 1 2 / 3 4 5
  check_values({
      {"rows", gather(x, 0, ids({1, 0, 1}, {1, 3})), {1, 3}, {3, 1, 5}},
      {"columns", gather(x, 1, ids({2, 2, 0, 1}, {2, 2})), {2, 2}, {2, 2, 3, 4}},
      {"columns, from the end", gather(x, -1, ids({2, 0}, {2, 1})), {2, 1}, {2, 3}},
      {"fewer rows", gather(x, 1, ids({0, 1, 2, 1}, {1, 4})), {1, 4}, {0, 1, 2, 1}},
      {"i32 indices", gather(x, 1, ids({2, 0}, {2, 1}, i32)), {2, 1}, {2, 3}},
      {"nothing", gather(x, 1, ids({}, {2, 0})), {2, 0}, {}},
      {"a scalar", gather(scalar(7), 0, scalar(0, {.dtype = i64})), {}, {7}},
      {"a scalar, thrice", gather(scalar(7), -1, ids({0, 0, 0})), {3}, {7, 7, 7}},
      {"one row for all", take_along_dim(x, ids({2, 0}, {1, 2}), 1), {2, 2}, {2, 0, 5, 3}},
      {"flattened", take_along_dim(x, ids({5, 0}, {1, 2})), {2}, {5, 0}},
      {"stretched x", take_along_dim(counted({1, 3}), ids({0, 2}, {2, 1}), 1), {2, 1}, {0, 2}},
  });
  for (const DType dtype : {f16, bf16, f64, i8, u8, i32, boolean}) {
    const Tensor picked = gather(tensor({0, 1, 1}, {3}, {.dtype = dtype}), 0, ids({2, 0}));
    CHECK(picked.dtype() == dtype);
    CHECK(picked.to_vector() == Values{1, 0});
  }
}

TEST_CASE("indexing: scatter and scatter_add", "[indexing][cpu]") {
  const Tensor x = zeros({2, 3});
  const Tensor src = counted({2, 3}) + 1;  // 1 2 3 / 4 5 6
  check_values({
      {"rows", scatter(x, 0, ids({1, 0, 1}, {1, 3}), src), {2, 3}, {0, 2, 0, 1, 0, 3}},
      {"the last one stays",
       scatter(x, 1, ids({1, 1, 2, 2}, {2, 2}), src),
       {2, 3},
       {0, 2, 0, 0, 0, 5}},
      {"a value", scatter(x, 1, ids({2, 0}, {2, 1}), 9), {2, 3}, {0, 0, 9, 9, 0, 0}},
      {"a value in u8", scatter(zeros({2}, {.dtype = u8}), 0, ids({1}), 200), {2}, {0, 200}},
      {"nothing", scatter(x, 1, ids({}, {2, 0}), src), {2, 3}, Values(6)},
      {"sums",
       scatter_add(x, 1, ids({1, 1, 1, 2, 0, 2}, {2, 3}), src),
       {2, 3},
       {0, 6, 0, 5, 0, 10}},
      {"sums of i64",
       scatter_add(zeros({1}, {.dtype = i64}), 0, ids({0, 0}), ids({4, 5})),
       {1},
       {9}},
      {"scalars", scatter_add(scalar(1), 0, ids({0, 0}), ones({2})), {}, {3}},
  });
  CHECK(x.to_vector() == Values(6));
}

TEST_CASE("indexing: index_select and index_add", "[indexing][cpu]") {
  const Tensor x = counted({2, 3});
  check_values({
      {"rows", index_select(x, 0, ids({1, 1, 0})), {3, 3}, {3, 4, 5, 3, 4, 5, 0, 1, 2}},
      {"columns", index_select(x, -1, ids({2, 0})), {2, 2}, {2, 0, 5, 3}},
      {"none", index_select(x, 1, ids({})), {2, 0}, {}},
      {"a scalar index", index_select(x, 0, scalar(1, {.dtype = i32})), {1, 3}, {3, 4, 5}},
      {"of a scalar", index_select(scalar(3), 0, ids({0})), {}, {3}},
      {"add rows", index_add(x, 0, ids({1, 1}), ones({2, 3})), {2, 3}, {0, 1, 2, 5, 6, 7}},
      {"add columns",
       index_add(x, 1, ids({0, 0}), counted({2, 2}), -1),
       {2, 3},
       {-1, 1, 2, -2, 4, 5}},
      {"add nothing", index_add(x, 0, ids({}), zeros({0, 3})), {2, 3}, {0, 1, 2, 3, 4, 5}},
      {"add integers",
       index_add(counted({2}, i32), 0, ids({1}), ones({1}, {.dtype = i32}), 3),
       {2},
       {0, 4}},
  });
  CHECK(index_select(counted({1, 2, 3, 4}).channels_last(), 1, ids({1, 0})).is_channels_last());
}

TEST_CASE("indexing: one_hot", "[indexing][cpu]") {
  check_values({
      {"given classes", one_hot(ids({2, 0}), 3), {2, 3}, {0, 0, 1, 1, 0, 0}},
      {"counted classes", one_hot(ids({1, 0})), {2, 2}, {0, 1, 1, 0}},
      {"a scalar", one_hot(scalar(1, {.dtype = i32}), 2), {2}, {0, 1}},
      {"a matrix", one_hot(ids({0, 1}, {1, 2})), {1, 2, 2}, {1, 0, 0, 1}},
      {"no labels", one_hot(ids({}), 4), {0, 4}, {}},
  });
  CHECK(one_hot(ids({1})).dtype() == i64);
  const Tensor from_fake = one_hot(fake({5}, {.dtype = i64}), 7);
  CHECK(from_fake.is_fake());
  CHECK(from_fake.shape() == Shape{5, 7});
}

TEST_CASE("indexing: gradients follow what stays", "[indexing][cpu]") {
  const Tensor x = zeros({3}, {.requires_grad = true});
  const Tensor src = ones({4}, {.requires_grad = true});
  const Tensor weights = tensor({1, 10, 100}, {3});
  (scatter(x, 0, ids({2, 0, 2}), src) * weights).sum().backward();
  CHECK(x.grad().to_vector() == Values{0, 10, 0});
  CHECK(src.grad().to_vector() == Values{0, 1, 100, 0});
}

TEST_CASE("indexing: a gradient wanted by one operand only", "[indexing][cpu]") {
  const Tensor index = ids({1, 1});
  for (const bool of_x : {true, false}) {
    const Tensor x = zeros({3}, {.requires_grad = of_x});
    const Tensor src = ones({2}, {.requires_grad = !of_x});
    scatter(x, 0, index, src).sum().backward();
    scatter_add(x, 0, index, src).sum().backward();
    index_add(x, 0, index, src, 2).sum().backward();
    CHECK((of_x ? x.grad().to_vector() : src.grad().to_vector()) ==
          (of_x ? Values{3, 2, 3} : Values{3, 4}));
    CHECK_FALSE((of_x ? src : x).grad().defined());
  }
}

TEST_CASE("indexing: misuse", "[indexing][errors][cpu]") {
  const Tensor x = zeros({2, 3});
  const Tensor square = ids({0, 0, 0, 0}, {2, 2});
  check_table({
      {[&] { gather(x, 2, square); }, {"gather", "dimension 2"}},
      {[&] { gather(x, 0, ids({0})); }, {"gather", "as many dimensions", "[2, 3]", "[1]"}},
      {[&] {
         gather(x, 1, ids({0, 0, 0}, {3, 1}));
       },
       {"gather", "index [3, 1] is longer than x [2, 3] in dimension 0"}},
      {[&] { gather(x, 1, square.to(f32)); }, {"gather", "f32", ".to(dl::i64)"}},
      {[&] {
         gather(x, 1, ids({0, 3}, {2, 1}));
       },
       {"gather", "the index at [1, 0] is 3", "dimension 1 of shape [2, 3] takes 0..2"}},
      {[&] {
         gather(x, 1, ids({0, -1}, {2, 1}));
       },
       {"gather", "the index at [1, 0] is -1"}},
      {[&] { take_along_dim(x, ids({0}), 0); }, {"take_along_dim", "[2, 3]", "[1]"}},
      {[&] {
         take_along_dim(x, ids({0, 0, 0}, {3, 1}), 1);
       },
       {"take_along_dim", "broadcast"}},
      {[&] {
         scatter(x, 0, square, ones({2, 1}));
       },
       {"scatter", "index [2, 2] is longer than src [2, 1] in dimension 1"}},
      {[&] { scatter(x, 0, square, ones({2})); }, {"scatter", "src", "[2]"}},
      {[&] {
         scatter(x, 0, ids({2, 0}, {1, 2}), ones({1, 2}));
       },
       {"scatter", "the index at [0, 0] is 2", "dimension 0"}},
      {[&] {
         scatter(x, 0, square, ones({2, 2}, {.dtype = f64}));
       },
       {"scatter", "f64", "f32", ".to(dtype)"}},
      {[&] {
         scatter_add(x, 0, ids({2, 0}, {1, 2}), ones({1, 2}));
       },
       {"scatter_add", "is 2"}},
      {[&] { scatter_add(x.to(boolean), 0, square, x.to(boolean)); }, {"scatter_add", "bool"}},
      {[&] { index_select(x, 0, square); }, {"index_select", "one dimension", "[2, 2]"}},
      {[&] {
         index_select(x, 1, ids({0, 1, 3}));
       },
       {"index_select: the index at [2] is 3, but dimension 1 of shape [2, 3] takes 0..2"}},
      {[&] { index_add(x, 0, ids({0}), ones({3})); }, {"index_add", "[1, 3]", "[3]"}},
      {[&] {
         index_add(x, 0, ids({5}), ones({1, 3}));
       },
       {"index_add: the index at [0] is 5"}},
      {[&] { index_add(ids({1}), 0, ids({0}), ids({1}), 0.5); }, {"index_add", "f32", "i64"}},
      {[&] { one_hot(ids({3}), 3); },
       {"one_hot: the index at [0] is 3, but dimension 1 of shape [1, 3] takes 0..2"}},
      {[&] {
         one_hot(ids({1, -2}));
       },
       {"one_hot: the index at [1] is -2"}},
      {[&] { one_hot(ids({-1})); }, {"one_hot: the index at [0] is -1"}},
      {[&] { one_hot(ids({})); }, {"one_hot", "[0]", "how many classes"}},
      {[&] { one_hot(ids({1}), 0); }, {"one_hot", "is 0"}},
      {[&] { one_hot(ones({1})); }, {"one_hot", "f32"}},
      {[&] { gather(Tensor(), 0, square); }, {"undefined"}},
  });
}
