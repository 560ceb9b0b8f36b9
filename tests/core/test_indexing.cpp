// x[{…}], masked_select, nonzero and index_put_: against a plain evaluation of the same entries,
// which are views, what they refuse. Only the CPU picks by tensors: those tests are its own.

#include <functional>
#include <limits>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "minidl/core/factories.h"
#include "minidl/core/grad_mode.h"
#include "minidl/core/ops/elementwise.h"
#include "minidl/core/ops/shape.h"
#include "tests/catch.h"
#include "tests/ops/reference.h"
#include "tests/random_views.h"

using namespace minidl;
using namespace minidl::test;
using Values = std::vector<double>;

namespace {

Tensor counted(const Shape& shape) {
  return arange(numel(shape), {.dtype = f64}).reshape(shape);
}

bool shares(const Tensor& a, const Tensor& b) {
  return a.storage() == b.storage();
}

// One entry as the plain evaluation sees it: a single position, the positions of a slice, a new
// axis, or an array of positions.
struct Entry {
  enum class Kind { position, slice, axis, array } kind;
  std::vector<std::int64_t> positions;
  Array array;
};

/// Where every element of the result comes from, as its number in a row-major `shape`.
struct Evaluated {
  Shape shape;
  std::vector<std::int64_t> sources;
};

Evaluated evaluate(const Shape& shape, const std::vector<Entry>& entries) {
  Shape picked;
  std::vector<int> arrays;
  bool apart = false;
  bool between = false;
  for (const Entry& entry : entries) {
    if (entry.kind == Entry::Kind::array) {
      picked = broadcast_shapes("test", picked, entry.array.shape);
      apart = apart || (between && !arrays.empty());
      arrays.push_back(0);
      between = false;
    } else if (entry.kind != Entry::Kind::position) {
      between = true;
    }
  }
  Shape result;
  bool placed = false;
  int first = 0;
  const auto place = [&] {
    if (placed) return;
    placed = true;
    first = result.size();
    for (const std::int64_t extent : picked) result.push_back(extent);
  };
  if (apart) place();
  for (const Entry& entry : entries) {
    if (entry.kind == Entry::Kind::array) place();
    if (entry.kind == Entry::Kind::axis) result.push_back(1);
    if (entry.kind == Entry::Kind::slice) {
      result.push_back(static_cast<std::int64_t>(entry.positions.size()));
    }
  }
  Evaluated evaluated{.shape = result, .sources = {}};
  for_each_index(result, [&](const Dims& index) {
    Dims at_positions = index.slice(first, first + picked.size());
    std::int64_t source = 0;
    int next = apart ? picked.size() : 0;
    int dim = 0;
    bool passed = apart;
    for (const Entry& entry : entries) {
      std::int64_t position = 0;
      switch (entry.kind) {
        case Entry::Kind::axis: ++next; continue;
        case Entry::Kind::position: position = entry.positions[0]; break;
        case Entry::Kind::slice:
          position = entry.positions[static_cast<std::size_t>(index[next++])];
          break;
        case Entry::Kind::array:
          position = static_cast<std::int64_t>(entry.array.broadcast_at(at_positions));
          if (!passed) next += picked.size();
          passed = true;
          break;
      }
      const std::int64_t extent = shape[dim++];
      source = source * extent + (position < 0 ? position + extent : position);
    }
    evaluated.sources.push_back(source);
  });
  return evaluated;
}

/// Random entries for `shape`, both ways.
struct Entries {
  std::vector<Index> indices;
  std::vector<Entry> plain;
};

Entries random_entries(const Shape& shape, std::mt19937& random) {
  const auto below = [&](std::int64_t bound) {
    return std::uniform_int_distribution<std::int64_t>(0, bound - 1)(random);
  };
  Entries entries;
  for (int dim = 0; dim < shape.size(); ++dim) {
    const std::int64_t extent = shape[dim];
    if (below(5) == 0 && shape.size() < 4) {
      entries.indices.emplace_back(None);
      entries.plain.push_back({Entry::Kind::axis, {}, {}});
    }
    switch (below(3)) {
      case 0: {
        const std::int64_t position = below(2 * extent) - extent;
        entries.indices.emplace_back(position);
        entries.plain.push_back({Entry::Kind::position, {position}, {}});
        break;
      }
      case 1: {
        const std::int64_t start = below(extent);
        const std::int64_t stop = below(extent + 2);
        const std::int64_t step = 1 + below(3);
        entries.indices.emplace_back(Slice{start, stop, step});
        Entry entry{Entry::Kind::slice, {}, {}};
        for (std::int64_t i = start; i < std::min(stop, extent); i += step) {
          entry.positions.push_back(i);
        }
        entries.plain.push_back(entry);
        break;
      }
      default: {
        const Shape shapes[] = {{}, {3}, {2, 1}, {1, 3}};
        Array array(shapes[below(4)]);
        for (double& value : array.values) {
          value = static_cast<double>(below(2 * extent) - extent);
        }
        entries.indices.emplace_back(tensor(array.values, array.shape, {.dtype = i64}));
        entries.plain.push_back({Entry::Kind::array, {}, array});
      }
    }
  }
  return entries;
}

}  // namespace

TEST_CASE("indexing: integers, slices, None and ellipsis are views", "[indexing]") {
  const Tensor x = counted({2, 3, 4});
  struct Row {
    std::string label;
    Tensor result;
    Shape shape;
    double first;
    double last;
  };
  const std::vector<Row> rows{
      {"x[1]", x[1], {3, 4}, 12, 23},
      {"x[-1]", x[-1], {3, 4}, 12, 23},
      {"x[1][2][3]", x[1][2][3], {}, 23, 23},
      {"x[{1, 2, 3}]", x[{1, 2, 3}], {}, 23, 23},
      {"x[{}]", x.index({}), {2, 3, 4}, 0, 23},
      {"x[:]", x[Slice{}], {2, 3, 4}, 0, 23},
      {"x[:, 1:]", x[{Slice{}, Slice{1}}], {2, 2, 4}, 4, 23},
      {"x[:, :-1]", x[{Slice{}, Slice{.stop = -1}}], {2, 2, 4}, 0, 19},
      {"x[..., ::2]", x[{ellipsis, Slice{.step = 2}}], {2, 3, 2}, 0, 22},
      {"x[..., -1]", x[{ellipsis, -1}], {2, 3}, 3, 23},
      {"x[0, ..., -1]", x[{0, ellipsis, -1}], {3}, 3, 11},
      {"x[0, 1, ..., 2]", x[{0, 1, ellipsis, 2}], {}, 6, 6},
      {"x[None]", x[None], {1, 2, 3, 4}, 0, 23},
      {"x[:, None, 2]", x[{Slice{}, None, 2}], {2, 1, 4}, 8, 23},
      {"x[..., None]", x[{ellipsis, None}], {2, 3, 4, 1}, 0, 23},
      {"x[-100:100, 1:2]", x[{Slice{-100, 100}, Slice{1, 2}}], {2, 1, 4}, 4, 19},
      {"size_t", x[std::size_t{1}], {3, 4}, 12, 23},
  };
  for (const Row& row : rows) {
    INFO(row.label);
    CHECK(row.result.shape() == row.shape);
    CHECK(row.result.to_vector().front() == row.first);
    CHECK(row.result.to_vector().back() == row.last);
    CHECK(shares(row.result, x));
  }
  CHECK(x[Slice{2, 1}].shape() == Shape{0, 3, 4});
  CHECK(x[Slice{5}].shape() == Shape{0, 3, 4});
}

TEST_CASE("indexing: filling through a view changes the tensor", "[indexing]") {
  const Tensor x = zeros({3, 3});
  x[{Slice{0, 2}}].fill_(1);
  x[{ellipsis, -1}].fill_(2);
  x[{2, 0}].fill_(3);
  x[1].mul_(tensor({1, 5, 2}));
  CHECK(x.to_vector() == Values{1, 1, 2, 1, 5, 4, 3, 0, 2});
}

TEST_CASE("indexing: tensors and masks pick copies", "[indexing][cpu]") {
  const Tensor x = counted({3, 4});
  const Tensor rows = tensor({2, 0, -1});
  CHECK(x[rows].to_vector() == Values{8, 9, 10, 11, 0, 1, 2, 3, 8, 9, 10, 11});
  CHECK_FALSE(shares(x[rows], x));
  CHECK(x[rows.to(i32)].to_vector() == x[rows].to_vector());
  CHECK(x[{rows, tensor({0, 1, 2})}].to_vector() == Values{8, 1, 10});
  CHECK(x[{rows.unsqueeze(1), tensor({0, 3})}].to_vector() == Values{8, 11, 0, 3, 8, 11});
  CHECK(x[{tensor({true, false, true}), 1}].to_vector() == Values{1, 9});
  CHECK(x[tensor({false, false, false})].shape() == Shape{0, 4});
  CHECK(x[{Slice{}, tensor({true, false, false, true})}].shape() == Shape{3, 2});
  const Tensor odd = tensor(std::vector<bool>{0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1}, {3, 4});
  CHECK(x[odd].to_vector() == Values{1, 3, 5, 7, 9, 11});
  CHECK(x.t()[odd.t()].to_vector() == Values{5 - 4, 5, 9, 3, 7, 11});
  CHECK(x[{odd, None}].shape() == Shape{6, 1});
  CHECK(x[zeros({0}, {.dtype = i64})].shape() == Shape{0, 4});
  CHECK(zeros({0, 4})[zeros({2, 0}, {.dtype = i64})].shape() == Shape{2, 0, 4});
}

TEST_CASE("indexing: every dtype can be picked and placed", "[indexing][cpu]") {
  for (const DType dtype : {f32, f16, bf16, f64, i8, u8, i32, i64, boolean}) {
    CAPTURE(name(dtype));
    const Tensor x = tensor({1, 0, 1}, {.dtype = dtype});
    CHECK(x[tensor({2, 1})].dtype() == dtype);
    CHECK(x[tensor({2, 1})].to_vector() == Values{1, 0});
    x.index_put_({tensor({2, 1})}, tensor({0, 1}));
    CHECK(x.to_vector() == Values{1, 1, 0});
  }
}

TEST_CASE("indexing: any mixture reads and writes what a plain evaluation says",
          "[indexing][cpu]") {
  std::mt19937 random(test_seed());
  INFO("MINIDL_TEST_SEED=" << test_seed());
  for (int trial = 0; trial < 60; ++trial) {
    Shape shape;
    for (int dim = trial % 4; dim >= 0; --dim) {
      shape.push_back(std::uniform_int_distribution<std::int64_t>(1, 4)(random));
    }
    const Entries entries = random_entries(shape, random);
    const Evaluated expected = evaluate(shape, entries.plain);
    CAPTURE(trial, to_string(shape), to_string(expected.shape));
    const Tensor x = counted(shape);
    Values values;
    for (const std::int64_t source : expected.sources) values.push_back(double(source));
    CHECK(x.index(entries.indices).shape() == expected.shape);
    CHECK(x.index(entries.indices).to_vector() == values);
    Dims reversed;
    for (int i = shape.size() - 1; i >= 0; --i) reversed.push_back(i);
    const Tensor transposed = x.permute(reversed).contiguous().permute(reversed).clone();
    CHECK(transposed.index(entries.indices).to_vector() == values);

    for (const bool accumulate : {false, true}) {
      Values after = x.to_vector();
      Values placed;
      for (std::size_t i = 0; i < expected.sources.size(); ++i) {
        placed.push_back(100 + double(i));
        double& element = after[static_cast<std::size_t>(expected.sources[i])];
        element = accumulate ? element + placed.back() : placed.back();
      }
      const Tensor target = accumulate ? transposed : x.clone();
      target.index_put_(entries.indices, tensor(placed, expected.shape, {.dtype = f64}),
                        accumulate);
      CHECK(target.to_vector() == after);
    }
  }
}

TEST_CASE("indexing: index_put_ converts and stretches what it writes", "[indexing][cpu]") {
  const Tensor x = zeros({3, 2}, {.dtype = i64});
  x.index_put_({tensor({0, 2})}, tensor({5.0, 6.0}));
  CHECK(x.to_vector() == Values{5, 6, 0, 0, 5, 6});
  x.index_put_({tensor({true, false, false})}, 9);
  CHECK(x.to_vector() == Values{9, 9, 0, 0, 5, 6});
  x.index_put_({1}, 7);
  x.index_put_({1, Slice{1}}, 1, /*accumulate=*/true);
  CHECK(x.to_vector() == Values{9, 9, 7, 8, 5, 6});
  x.index_put_({tensor({1, 1, 1}), 0}, tensor({1, 2, 4}), /*accumulate=*/true);
  CHECK(x[{1, 0}].item() == 14);
  x.index_put_({tensor({1, 0})}, x[Slice{0, 2}]);  // what it reads is what it writes
  CHECK(x.to_vector() == Values{14, 8, 9, 9, 5, 6});
  x.index_put_({tensor({false, false, false})}, 3);
  CHECK(x.to_vector() == Values{14, 8, 9, 9, 5, 6});
}

TEST_CASE("indexing: masked_select broadcasts", "[indexing][cpu]") {
  const Tensor x = counted({2, 3});
  CHECK(masked_select(x, tensor({true, false, true})).to_vector() == Values{0, 2, 3, 5});
  CHECK(x.masked_select(tensor({{true}, {false}})).to_vector() == Values{0, 1, 2});
  CHECK(scalar(4).masked_select(tensor({true, true})).to_vector() == Values{4, 4});
  CHECK(scalar(4).masked_select(tensor(false)).shape() == Shape{0});
}

TEST_CASE("indexing: nonzero lists positions", "[indexing]") {
  CHECK(nonzero(tensor({0, 3, 0, -1})).to_vector() == Values{1, 3});
  const Tensor places = tensor({{0.0, 0.5}, {NAN, 0.0}}).nonzero();
  CHECK(places.shape() == Shape{2, 2});
  CHECK(places.dtype() == i64);
  CHECK(places.to_vector() == Values{0, 1, 1, 0});
  CHECK(tensor({{true, false}}).t().nonzero().to_vector() == Values{0, 0});
  CHECK(zeros({2, 3}).nonzero().shape() == Shape{0, 2});
  CHECK(zeros({0, 3, 1}).nonzero().shape() == Shape{0, 3});
  CHECK(scalar(2).nonzero().shape() == Shape{1, 0});
  CHECK(scalar(0).nonzero().shape() == Shape{0, 0});
}

TEST_CASE("indexing: gradients add up where positions repeat", "[indexing][cpu]") {
  const Tensor x = counted({3, 2}).clone().set_requires_grad();
  const Tensor y = x[{tensor({0, 2, 0, 0})}];
  (y * tensor({{1.0}, {10.0}, {100.0}, {1000.0}}, {.dtype = f64})).sum().backward();
  CHECK(x.grad().to_vector() == Values{1101, 1101, 0, 0, 10, 10});
  x.zero_grad();
  x[tensor({{true, false}, {false, true}, {false, false}})].sum().backward();
  CHECK(x.grad().to_vector() == Values{1, 0, 0, 1, 0, 0});
  x.zero_grad();
  x[{Slice{1}, 0, None}].sum().backward();
  CHECK(x.grad().to_vector() == Values{0, 0, 1, 0, 1, 0});
}

TEST_CASE("indexing: changes in place that autograd would not see are refused", "[indexing][cpu]") {
  const Tensor x = zeros({3}).set_requires_grad();
  CHECK_THROWS_WITH(x.index_put_({tensor({0})}, 1), Contains("index_put_: autograd"));
  CHECK_THROWS_WITH((x[Slice{0, 2}].fill_(1)), Contains("fill_: autograd"));
  CHECK_THROWS_WITH(zeros({3}).index_put_({tensor({0})}, x[0]), Contains("autograd"));
  const NoGradGuard no_grad;
  x.index_put_({tensor({0, -1})}, 1);
  CHECK(x.to_vector() == Values{1, 0, 1});
}

TEST_CASE("indexing: fake tensors give shapes, but not those that depend on elements",
          "[indexing][fake]") {
  const Tensor x = fake({3, 4});
  CHECK(x[{fake({5}, {.dtype = i64}), None}].shape() == Shape{5, 1, 4});
  CHECK(x[tensor({1, 2})].is_fake());
  CHECK(x[tensor({true, false, true})].shape() == Shape{2, 4});
  CHECK_NOTHROW(x.index_put_({tensor({1})}, 2));
  CHECK_THROWS_WITH(x[fake({3}, {.dtype = boolean})], Contains("nonzero: fake bool[3]"));
  CHECK_THROWS_WITH(x.nonzero(), Contains("nonzero: fake f32[3, 4]"));
  CHECK(zeros({3})[fake({1}, {.dtype = i64})].is_fake());
}

TEST_CASE("indexing: misuse is refused with dimension, extent and position", "[indexing][cpu]") {
  const Tensor x = counted({2, 3});
  struct Row {
    std::function<void()> run;
    std::string text;
  };
  const std::vector<Row> rows{
      {[&] { x[2]; }, "index: 2 is out of range for dimension 0 of extent 2 (shape [2, 3])"},
      {[&] {
         x[{None, 1, -4}];
       },
       "index: -4 is out of range for dimension 1 of extent 3 (shape [2, 3])"},
      {[&] {
         x[{0, 0, 0}];
       },
       "index: 3 dimensions are indexed, but shape [2, 3] has 2"},
      {[&] { scalar(1)[0]; }, "index: 1 dimensions are indexed, but shape [] has 0"},
      {[&] {
         x[{ellipsis, ellipsis}];
       },
       "index: there are 2 ellipses"},
      {[&] { x[Slice{.step = -1}]; }, "index: the step of a slice must be positive, not -1; flip"},
      {[&] { x[tensor({1.0})]; }, "index: positions are i64 or i32 and masks bool, not f32"},
      {[&] {
         x[{Slice{}, tensor({0, 3, 1})}];
       },
       "index: the position at [1] is 3, which is out of range for dimension 1 of extent 3"},
      {[&] {
         x[{1, tensor({{0, 1}, {-4, 0}})}];
       },
       "index: the position at [1, 0] is -4, which is out of range for dimension 1 of extent 3"},
      {[&] {
         x[{tensor({0, 1}), tensor({0, 1, 2})}];
       },
       "index: shapes [2] and [3] do not broadcast"},
      {[&] {
         x[tensor({true, false, true})];
       },
       "index: the mask of shape [3] does not fit dimension 0 of shape [2, 3]"},
      {[&] {
         x[{0, tensor({true, false})}];
       },
       "index: the mask of shape [2] does not fit dimension 1 of shape [2, 3]"},
      {[&] { x[tensor(true)]; }, "index: a mask needs a dimension"},
      {[&] { x[Tensor()]; }, "index: an undefined tensor"},
      {[&] { Tensor()[0]; }, "undefined"},
      {[&] { x.masked_select(x); }, "masked_select: a mask is bool, not f64"},
      {[&] {
         x.index_put_({tensor({0, 1})}, zeros({3, 3}));
       },
       "index_put_: shapes [2, 3] and [3, 3] do not broadcast"},
      {[&] {
         x.index_put_({tensor({0})}, zeros({2, 1, 3}));
       },
       "index_put_: [2, 1, 3] does not stretch to [1, 3]"},
      {[&] {
         x.index_put_({tensor({0, 2})}, 1);
       },
       "index: the position at [1] is 2, which is out of range for dimension 0 of extent 2"},
      {[&] {
         counted({1, 3}).expand({2, 3}).index_put_({tensor({0})}, 1);
       },
       "index_put_: elements of a stretched tensor"},
  };
  for (const Row& row : rows) {
    INFO(row.text);
    CHECK_THROWS_WITH(row.run(), Contains(row.text));
  }
  CHECK(x.to_vector() == Values{0, 1, 2, 3, 4, 5});  // what fails changes nothing
}
