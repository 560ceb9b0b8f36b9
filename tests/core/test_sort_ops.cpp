// Sorting and what comes with it, scans, and the reductions of core/ops/reduce.h.

#include <cmath>
#include <string>
#include <vector>

#include "minidl/core/ops/comparison.h"
#include "minidl/core/ops/elementwise.h"
#include "minidl/core/ops/reduce.h"
#include "minidl/core/ops/scan.h"
#include "minidl/core/ops/sort.h"
#include "tests/catch.h"
#include "tests/misuse.h"

using namespace minidl;
using namespace minidl::test;
using Values = std::vector<double>;

namespace {

Tensor row(const Values& values, DType dtype = f32) {
  return tensor(values, {static_cast<std::int64_t>(values.size())}, {.dtype = dtype});
}

bool same(const Values& a, const Values& b) {
  bool equal = a.size() == b.size();
  for (std::size_t i = 0; equal && i < a.size(); ++i) {
    equal = a[i] == b[i] || (std::isnan(a[i]) && std::isnan(b[i]));
  }
  return equal;
}

void check_pair(const ValuesAndIndices& pair, const Shape& shape, const Values& values,
                const Values& indices) {
  CHECK(pair.values.shape() == shape);
  CHECK(same(pair.values.to_vector(), values));
  CHECK(pair.indices.dtype() == i64);
  CHECK(pair.indices.shape() == shape);
  CHECK(pair.indices.to_vector() == indices);
}

}  // namespace

TEST_CASE("sort: both directions, ties and NaN", "[sort][cpu]") {
  const Tensor x = row({2, NAN, 1, 2, 0});
  check_pair(sort(x), {5}, {0, 1, 2, 2, NAN}, {4, 2, 0, 3, 1});
  check_pair(sort(x, 0, /*descending=*/true), {5}, {NAN, 2, 2, 1, 0}, {1, 0, 3, 2, 4});
  CHECK(argsort(x, -1, true).to_vector() == Values{1, 0, 3, 2, 4});
  check_pair(sort(scalar(3)), {}, {3}, {0});
  check_pair(sort(zeros({2, 0})), {2, 0}, {}, {});
  const Tensor matrix = tensor({3, 1, 2, 0}, {2, 2});
  check_pair(sort(matrix, 0), {2, 2}, {2, 0, 3, 1}, {1, 1, 0, 0});
  CHECK(sort(matrix.t()).values.strides() == matrix.t().strides());
  check_pair(sort(row({1, 0, 1}, boolean)), {3}, {0, 1, 1}, {1, 0, 2});
}

TEST_CASE("sort: topk and kthvalue", "[sort][cpu]") {
  const Tensor x = row({2, 5, 1, 5, 0});
  check_pair(topk(x, 3), {3}, {5, 5, 2}, {1, 3, 0});
  check_pair(topk(x, 2, 0, /*largest=*/false), {2}, {0, 1}, {4, 2});
  check_pair(topk(x, 0), {0}, {}, {});
  check_pair(topk(row({1, NAN, 2}), 1), {1}, {NAN}, {1});
  check_pair(topk(scalar(4), 1), {}, {4}, {0});
  const Tensor picked = topk(x, 3, -1, true, /*sorted=*/false).indices;
  CHECK(sort(picked).values.to_vector() == Values{0, 1, 3});
  check_pair(kthvalue(x, 1), {}, {0}, {4});
  check_pair(kthvalue(x, 5), {}, {5}, {3});
  check_pair(kthvalue(tensor({3, 1, 2, 0}, {2, 2}), 2, 0, /*keepdim=*/true), {1, 2}, {3, 1},
             {0, 0});
  check_pair(kthvalue(scalar(4), 1), {}, {4}, {0});
}

TEST_CASE("sort: unique", "[sort][cpu]") {
  const Unique found = unique(tensor({3, 1, 3, 2, 1, 3}, {2, 3}));
  CHECK(found.values.to_vector() == Values{1, 2, 3});
  CHECK(found.inverse.shape() == Shape{2, 3});
  CHECK(found.inverse.to_vector() == Values{2, 0, 2, 1, 0, 2});
  CHECK(found.counts.to_vector() == Values{2, 1, 3});
  CHECK(same(unique(row({NAN, 1, NAN})).values.to_vector(), {1, NAN, NAN}));
  CHECK(unique(zeros({0, 2})).values.shape() == Shape{0});
  CHECK(unique(zeros({0, 2})).inverse.shape() == Shape{0, 2});
  CHECK(unique(scalar(5)).counts.to_vector() == Values{1});
  for (const DType dtype : {f16, bf16, f64, i8, u8, i32, i64, boolean}) {
    const Unique kinds = unique(row({1, 0, 1}, dtype));
    CHECK(kinds.values.dtype() == dtype);
    CHECK(kinds.values.to_vector() == Values{0, 1});
    CHECK(kinds.counts.to_vector() == Values{1, 2});
  }
  const Tensor large =
      tensor({0x1p62, 0x1p62}, {2}, {.dtype = i64}) + tensor({0, 1}, {2}, {.dtype = i64});
  CHECK(unique(large).values.numel() == 2);
}

TEST_CASE("scan: dtypes, scalars and gradients at zeros", "[scan][cpu]") {
  CHECK(cumsum(row({1, 2, 3}), 0).to_vector() == Values{1, 3, 6});
  CHECK(cumprod(tensor({1, 2, 3, 4}, {2, 2}), -2).to_vector() == Values{1, 2, 3, 8});
  for (const DType dtype : {boolean, u8, i8, i32, i64}) {
    CHECK(cumsum(row({1, 0, 1}, dtype), 0).dtype() == i64);
    CHECK(cumprod(row({1, 1, 0}, dtype), 0).to_vector() == Values{1, 1, 0});
  }
  CHECK(cumsum(row(Values(300, 1), u8), 0).to_vector().back() == 300);
  CHECK(cumsum(scalar(2), 0).dim() == 0);
  CHECK(cumsum(zeros({0}), 0).numel() == 0);
  const Tensor x = tensor({2, 0, 5}, {3}, {.requires_grad = true});
  prod(x).backward();
  CHECK(x.grad().to_vector() == Values{0, 10, 0});
}

TEST_CASE("reduce: argmin", "[reduce]") {
  const Tensor x = tensor({3, 1, 2, 0, 1, 0}, {2, 3});
  CHECK(argmin(x).dim() == 0);
  CHECK(argmin(x).item() == 3);
  CHECK(argmin(x, {}, true).shape() == Shape{1, 1});
  CHECK(argmin(x, 0).to_vector() == Values{1, 0, 1});
  CHECK(argmin(x, -1, true).shape() == Shape{2, 1});
  CHECK(argmin(row({1, NAN, 0, NAN})).item() == 1);
  CHECK(argmin(row({-5, 3}, i32)).item() == 0);
  CHECK(argmin(row({0, -0x1p63}, i64)).item() == 1);
  CHECK(argmin(scalar(2), 0).item() == 0);
  CHECK(argmin(zeros({0, 3}), 1).shape() == Shape{0});
}

TEST_CASE("reduce: any and all", "[reduce]") {
  const Tensor x = tensor({0, 0, 0, 1, 1, 0}, {3, 2}, {.dtype = boolean});
  CHECK(any(x).dtype() == boolean);
  CHECK(any(x).item() == 1);
  CHECK(all(x).item() == 0);
  CHECK(any(x, {1}).to_vector() == Values{0, 1, 1});
  CHECK(all(x, {-2}, true).shape() == Shape{1, 2});
  CHECK(any(zeros({0, 2}), {0}).to_vector() == Values{0, 0});
  CHECK(all(zeros({0, 2}), {0}).to_vector() == Values{1, 1});
  CHECK(all(row({0.5, NAN, -1})).item() == 1);
  CHECK(any(scalar(0)).item() == 0);
  for (const std::int64_t at : {0, 31, 32, 9'999}) {
    const Tensor one = zeros({10'000}, {.dtype = boolean});
    one.slice(0, at, at + 1).fill_(1);
    CHECK(any(one).item() == 1);
    CHECK(all(one.to(f32) == zeros({10'000})).item() == 0);
  }
}

TEST_CASE("reduce: prod", "[reduce][cpu]") {
  const Tensor x = tensor({1, 2, 3, 4}, {2, 2});
  CHECK(prod(x).item() == 24);
  CHECK(prod(x, 0).to_vector() == Values{3, 8});
  CHECK(prod(x, 1, true).shape() == Shape{2, 1});
  CHECK(prod(zeros({0, 2}), 0).to_vector() == Values{1, 1});
  CHECK(prod(row({16, 16, 2}, u8)).item() == 512);
  CHECK(prod(row(Values(40, 1e30))).item() == INFINITY);
  Values mixed(8, 1e30);  // a part of them is too large for f32, the whole is not
  mixed.resize(16, 1e-30);
  CHECK(prod(row(mixed)).item() == Approx(1).epsilon(1e-4));
}

TEST_CASE("reduce: logsumexp", "[reduce]") {
  for (const DType dtype : {f32, f64}) {
    CHECK(logsumexp(row({1000, 1000}, dtype), {0}).item() == Approx(1000 + std::log(2.0)));
    CHECK(logsumexp(row({-1e5, -1e5}, dtype), {-1}).item() == Approx(-1e5 + std::log(2.0)));
    CHECK(logsumexp(row({-INFINITY, -INFINITY}, dtype), {0}).item() == -INFINITY);
    CHECK(logsumexp(row({-INFINITY, 3}, dtype), {0}).item() == 3);
    CHECK(logsumexp(row({INFINITY, 3}, dtype), {0}).item() == INFINITY);
    CHECK(std::isnan(logsumexp(row({NAN, 3}, dtype), {0}).item()));
  }
  CHECK(logsumexp(zeros({2, 3, 4}), {0, 2}).to_vector() ==
        logsumexp(zeros({8, 3}), {0}, true).to_vector());
  CHECK(logsumexp(zeros({2, 0}), {1}).to_vector() == Values{-INFINITY, -INFINITY});
  CHECK(logsumexp(row({0, 0}, i64), {0}).dtype() == f32);
  const Tensor x = tensor({-INFINITY, -INFINITY, 0, 0}, {2, 2}, {.requires_grad = true});
  logsumexp(x, {1}).sum().backward();
  CHECK(x.grad().to_vector() == Values{0, 0, 0.5, 0.5});
}

TEST_CASE("sort, scan and reduce: misuse", "[sort][errors][cpu]") {
  check_table({
      {[] { sort(ones({2}), 1); }, {"sort", "dimension 1"}},
      {[] {
         topk(ones({2, 3}), 4);
       },
       {"topk", "k is 4", "dimension 1 of shape [2, 3]", "3"}},
      {[] { topk(ones({2}), -1); }, {"topk", "-1"}},
      {[] { kthvalue(ones({2}), 0); }, {"kthvalue", "k is 0"}},
      {[] { kthvalue(ones({2}), 3); }, {"kthvalue", "k is 3"}},
      {[] { cumsum(ones({2}), 1); }, {"cumsum", "dimension 1"}},
      {[] { cumsum(scalar(1), 1); }, {"cumsum", "dimension 1"}},
      {[] { argmin(zeros({0})); }, {"argmin", "[0]"}},
      {[] { argmin(ones({2}), 1); }, {"argmin", "dimension 1"}},
      {[] { any(ones({2}), {1}); }, {"any", "dimension 1"}},
      {[] {
         all(ones({2, 2}), {0, 0});
       },
       {"all", "twice"}},
      {[] { prod(ones({2}), 1); }, {"prod", "dimension 1"}},
      {[] { logsumexp(ones({2}), {1}); }, {"logsumexp", "dimension 1"}},
      {[] { unique(fake({3})); }, {"fake"}},
  });
}
