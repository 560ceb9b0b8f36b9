// The contract: a Profiler sees every operation, backward step and scope while it lives, how they
// nest, what they were given and what memory they took; without one nothing is recorded.

#include <algorithm>
#include <cmath>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include <nlohmann/json.hpp>

#include "minidl/core/ops/elementwise.h"
#include "minidl/core/ops/matmul.h"
#include "minidl/core/profiler.h"
#include "minidl/kernels/common/error.h"
#include "tests/catch.h"
#include "tests/folder.h"

using namespace minidl;
using Kind = ProfileEvent::Kind;

namespace {

std::vector<std::string> names(const Profiler& profiler, Kind kind) {
  std::vector<std::string> result;
  for (const ProfileEvent& event : profiler.events()) {
    if (event.kind == kind) result.push_back(event.name);
  }
  return result;
}

const ProfileEvent& find(const Profiler& profiler, const std::string& name) {
  for (const ProfileEvent& event : profiler.events()) {
    if (event.name == name) return event;
  }
  FAIL("no event called " << name);
  throw Error("unreachable");
}

}  // namespace

TEST_CASE("profiler: operations, their shapes and their memory", "[profiler]") {
  const Tensor a = ones({3, 4});
  const Tensor b = ones({4, 5});
  Profiler profiler;
  const Tensor c = relu(matmul(a, b));
  profiler.stop();
  const Tensor later = relu(c);
  CHECK(names(profiler, Kind::op) == std::vector<std::string>{"matmul", "relu"});
  const ProfileEvent& product = find(profiler, "matmul");
  CHECK(product.shapes == "[3, 4], [4, 5]");
  CHECK(product.bytes == 3 * 5 * 4);
  CHECK(find(profiler, "relu").bytes == 3 * 5 * 4);
  CHECK(product.duration > 0);
  CHECK(product.start >= 0);
}

TEST_CASE("profiler: a scope's own time is without what ran inside", "[profiler]") {
  const Tensor x = ones({1000});
  Profiler profiler;
  {
    const ProfileScope outer("outer");
    {
      const ProfileScope inner("inner");
      relu(x);
    }
    relu(x);
  }
  profiler.stop();
  const ProfileEvent& outer = find(profiler, "outer");
  const ProfileEvent& inner = find(profiler, "inner");
  const ProfileEvent& last = profiler.events()[2];
  CHECK(last.name == "relu");
  CHECK(std::abs(outer.self - (outer.duration - inner.duration - last.duration)) < 1e-6);
  CHECK(inner.start >= outer.start);
  CHECK(inner.start + inner.duration <= outer.start + outer.duration);
}

TEST_CASE("profiler: backward steps carry the name of their operation", "[profiler]") {
  const Tensor x = ones({2, 2}, {.requires_grad = true});
  Profiler profiler;
  (relu(x) * x).sum().backward();
  profiler.stop();
  const std::vector<std::string> steps = names(profiler, Kind::backward);
  CHECK(std::find(steps.begin(), steps.end(), "backward of relu") != steps.end());
}

TEST_CASE("profiler: rows add up", "[profiler]") {
  const Tensor x = ones({8});
  Profiler profiler;
  for (int i = 0; i < 3; ++i) relu(x);
  relu(ones({2, 2}));
  profiler.stop();
  std::vector<ProfileRow> rows = profiler.key_averages();
  const auto is_relu = [](const ProfileRow& row) { return row.name == "relu"; };
  const auto row = std::find_if(rows.begin(), rows.end(), is_relu);
  REQUIRE(row != rows.end());
  CHECK(row->calls == 4);
  double total = 0;
  for (const ProfileEvent& event : profiler.events()) {
    if (event.name == "relu") total += event.duration;
  }
  CHECK(std::abs(row->total - total) < 1e-6);
  rows = profiler.key_averages(true);
  CHECK(std::count_if(rows.begin(), rows.end(), is_relu) == 2);
  CHECK_THAT(profiler.table(), Contains("relu") && Contains("in all"));
  CHECK_THAT(profiler.table(20, true), Contains("[2, 2]"));
}

TEST_CASE("profiler: the trace is what Chrome reads", "[profiler]") {
  const test::Folder folder;
  const std::string path = folder / "trace.json";
  Profiler profiler;
  {
    const ProfileScope scope("a \"scope\"\xff");
    relu(ones({2}));
  }
  profiler.stop();
  profiler.save_chrome_trace(path, 3);
  std::ifstream file(path);
  const nlohmann::json trace = nlohmann::json::parse(file);
  const nlohmann::json& events = trace.at("traceEvents");
  CHECK(events.size() == profiler.events().size());
  for (const nlohmann::json& event : events) {
    CHECK(event.at("ph") == "X");
    CHECK(event.at("pid") == 3);
    CHECK(event.at("dur").get<double>() >= 0);
  }
  CHECK(events.back().at("cat") == "scope");
}

TEST_CASE("profiler: threads are told apart", "[profiler][threads]") {
  Profiler profiler;
  std::vector<std::thread> threads;
  for (int i = 0; i < 3; ++i) {
    threads.emplace_back([] {
      for (int turn = 0; turn < 20; ++turn) {
        const ProfileScope scope("turn");
        relu(ones({4}));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  profiler.stop();
  CHECK(std::count_if(profiler.events().begin(), profiler.events().end(),
                      [](const ProfileEvent& e) { return e.name == "turn"; }) == 60);
  for (const ProfileEvent& event : profiler.events()) {
    CHECK(event.thread >= 0);
    CHECK(event.thread < 3);
  }
}

TEST_CASE("profiler: one at a time, and looked at when it is done", "[profiler]") {
  Profiler profiler;
  CHECK_THROWS_WITH(Profiler(), Contains("a profiler at work already"));
  CHECK_THROWS_WITH(profiler.events(), Contains("stop() it"));
  profiler.stop();
  profiler.stop();
  CHECK(profiler.events().empty());
  Profiler another;
  CHECK(ProfileScope::running());
  another.stop();
  CHECK_FALSE(ProfileScope::running());
}
