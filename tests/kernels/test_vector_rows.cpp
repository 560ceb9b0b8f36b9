// Rows of numbers in vector registers: every length, and the numbers on which tricks go wrong.

#include <cmath>
#include <limits>
#include <memory>
#include <vector>

#include "minidl/kernels/cpu/vector_rows.h"
#include "tests/catch.h"
#include "tests/random_views.h"

using namespace minidl;
using namespace minidl::test;
using namespace minidl::kernels::cpu;

namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

template <class T>
std::vector<T> random_row(std::int64_t count, Draw& draw) {
  std::vector<T> row(static_cast<std::size_t>(count));
  for (T& x : row) x = static_cast<T>(draw());
  return row;
}

}  // namespace

TEMPLATE_TEST_CASE("vector rows: the largest of every length", "", float, double) {
  INFO("MINIDL_TEST_SEED=" << test_seed());
  Draw draw(-9, 9);
  CHECK(largest_of(static_cast<const TestType*>(nullptr), 0) == -kInfinity);
  for (const std::int64_t count : kCounts) {
    CAPTURE(count);
    std::vector<TestType> row = random_row<TestType>(count, draw);
    const auto place = static_cast<std::size_t>(count / 2);
    row[place] = 10;
    CHECK(largest_of(row.data(), count) == 10);
    row[place] = NAN;
    CHECK(largest_of(row.data(), count) < 9.1);
    row[place] = static_cast<TestType>(kInfinity);
    CHECK(largest_of(row.data(), count) == kInfinity);
  }
}

TEMPLATE_TEST_CASE("vector rows: exponentials and their sum", "", float, double) {
  INFO("MINIDL_TEST_SEED=" << test_seed());
  Draw draw(-87, 1e-3);
  const double epsilon = 2.5 * std::numeric_limits<TestType>::epsilon();
  for (const std::int64_t count : kCounts) {
    CAPTURE(count);
    const std::vector<TestType> xs = random_row<TestType>(count, draw);
    std::vector<TestType> row = xs;
    const double sum = exponentials(row.data(), count, TestType{0});
    double expected = 0;
    double largest_error = 0;
    for (std::size_t i = 0; i < xs.size(); ++i) {
      const double wanted = std::exp(double{xs[i]});
      expected += wanted;
      largest_error = std::max(largest_error, std::abs(row[i] / wanted - 1));
    }
    CHECK(largest_error < epsilon);
    CHECK(sum == Approx(expected).epsilon(8 * epsilon));
  }
}

TEMPLATE_TEST_CASE("vector rows: exponentials of what is not quite a number", "", float, double) {
  for (const std::size_t count : {1u, 16u, 40u}) {  // one by one, and in registers
    const auto of = [&](double x, double base) {
      std::vector<TestType> row(count, static_cast<TestType>(x));
      exponentials(row.data(), static_cast<std::int64_t>(count), static_cast<TestType>(base));
      CHECK(((row.front() == row.back()) || std::isnan(row.back())));
      return static_cast<double>(row.back());
    };
    CHECK(of(3, 3) == 1);
    CHECK(of(-kInfinity, 0) == 0);
    CHECK(of(-kInfinity, 5) == 0);
    CHECK(of(-1e30, 0) == 0);
    CHECK(of(-800, 0) == 0);
    CHECK(std::isnan(of(NAN, 0)));
    CHECK(std::isnan(of(kInfinity, kInfinity)));
  }
}

TEMPLATE_TEST_CASE("vector rows: flags keep their numbers", "", float, double) {
  INFO("MINIDL_TEST_SEED=" << test_seed());
  Draw draw(-1, 1);
  for (const std::int64_t count : kCounts) {
    CAPTURE(count);
    const std::vector<TestType> xs = random_row<TestType>(count, draw);
    const auto flags = std::make_unique<bool[]>(xs.size());
    for (std::size_t i = 0; i < xs.size(); ++i) flags[i] = draw() > 0;
    std::vector<TestType> row = xs;
    keep_where(flags.get(), row.data(), count);
    for (std::size_t i = 0; i < xs.size(); ++i) {
      CHECK(static_cast<double>(row[i]) == (flags[i] ? static_cast<double>(xs[i]) : -kInfinity));
    }
  }
}
