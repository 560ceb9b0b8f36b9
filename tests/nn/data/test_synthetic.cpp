#include <cmath>
#include <numeric>

#include "minidl/kernels/common/parallel.h"
#include "minidl/nn/data/synthetic.h"
#include "tests/catch.h"
#include "tests/nn/data/data_files.h"

using namespace minidl;
using namespace minidl::data;
using namespace minidl::test;

namespace {

std::vector<double> pixels_of(const ImageDataset& set, std::int64_t count) {
  std::vector<std::int64_t> indices(static_cast<std::size_t>(count));
  std::iota(indices.begin(), indices.end(), std::int64_t{0});
  return set.batch(indices, {}).x.to_vector();
}

}  // namespace

TEST_CASE("synthetic images are balanced and sane", "[data][synthetic]") {
  const Synthetic set({.size = 1000});
  CHECK(set.size() == 1000);
  CHECK(set.classes() == 10);
  CHECK(set.channels() == 3);
  std::vector<int> counts(10);
  for (std::int64_t i = 0; i < 1000; ++i) ++counts[static_cast<std::size_t>(set.label(i))];
  CHECK(counts == std::vector<int>(10, 100));
  CHECK_FALSE(set.basic_augmentation().flip);

  // The fixed normalisation must fit: mean about 0, deviation about 1.
  const std::vector<double> values = pixels_of(set, 1000);
  double sum = 0;
  double squares = 0;
  for (const double value : values) {
    sum += value;
    squares += value * value;
  }
  const auto count = static_cast<double>(values.size());
  CHECK(std::abs(sum / count) < 0.2);
  CHECK(std::abs(std::sqrt(squares / count) - 1) < 0.2);
}

TEST_CASE("synthetic images depend on seed, split and number only", "[data][synthetic]") {
  const std::vector<double> base = pixels_of(Synthetic({.size = 60}), 50);
  CHECK(base == pixels_of(Synthetic({.size = 200}), 50));
  CHECK(base != pixels_of(Synthetic({.size = 60, .seed = 1}), 50));
  CHECK(base != pixels_of(Synthetic({.size = 60, .split = Split::test}), 50));
  const int threads = kernels::max_threads();
  kernels::set_num_threads(1);
  const std::vector<double> alone = pixels_of(Synthetic({.size = 60}), 50);
  kernels::set_num_threads(threads);
  CHECK(base == alone);
}

TEST_CASE("synthetic images come in other sizes", "[data][synthetic]") {
  const Synthetic set(
      {.size = 7, .classes = 3, .height = 28, .width = 40, .channels = 1, .noise = 0});
  const std::vector<std::int64_t> indices = {6};
  const auto [x, y] = set.batch(indices, {});
  CHECK(x.shape() == Shape{1, 1, 28, 40});
  CHECK(y.item() == 0);
  CHECK(set.class_names().size() == 3);
}

TEST_CASE("impossible synthetic images are refused", "[data][synthetic]") {
  CHECK_THAT(error_of([] { Synthetic set({.size = 0}); }), Contains("at least 1"));
  CHECK_THAT(error_of([] { Synthetic set({.classes = 11}); }), Contains("2 to 10 classes, not 11"));
  CHECK_THAT(error_of([] { Synthetic set({.channels = 2}); }), Contains("1 or 3 channels"));
  CHECK_THAT(error_of([] { Synthetic set({.height = 4}); }), Contains("not 4 x 32"));
  CHECK_THAT(error_of([] { Synthetic set({.noise = std::nan("")}); }), Contains("not nan"));
}
