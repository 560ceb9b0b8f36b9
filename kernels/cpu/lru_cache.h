// Remembers what was costly to prepare for a problem.
#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <utility>
#include <vector>

namespace minidl::kernels::cpu {

/// The numbers that define a problem: shapes, strides, parameters.
class ProblemKey {
 public:
  ProblemKey& add(std::int64_t value) {
    values_.push_back(value);
    return *this;
  }
  template <class Values>
  ProblemKey& add_all(const Values& values) {
    values_.insert(values_.end(), values.begin(), values.end());
    return *this;
  }

  friend bool operator==(const ProblemKey& a, const ProblemKey& b) {
    return a.values_ == b.values_;
  }

  struct Hash {
    std::size_t operator()(const ProblemKey& key) const {
      std::uint64_t hash = 14695981039346656037U;  // FNV-1a, word by word
      for (const std::int64_t value : key.values_) {
        hash = (hash ^ static_cast<std::uint64_t>(value)) * 1099511628211U;
      }
      return static_cast<std::size_t>(hash);
    }
  };

 private:
  std::vector<std::int64_t> values_;
};

/// The values of the `capacity` most recently used problems. Thread-safe.
template <class Value>
class LruCache {
 public:
  explicit LruCache(std::size_t capacity) : capacity_(capacity) {}

  /// What `create()` gave for this key. The lock is not held while it runs: two threads may create
  /// the same value, of which one is kept.
  template <class Create>
  std::shared_ptr<const Value> get(const ProblemKey& key, const Create& create) {
    if (auto value = find(key)) return value;
    auto value = std::make_shared<const Value>(create());
    insert(key, value);
    return value;
  }

 private:
  struct Entry {
    ProblemKey key;
    std::shared_ptr<const Value> value;
  };

  std::shared_ptr<const Value> find(const ProblemKey& key) {
    const std::scoped_lock lock(mutex_);
    const auto found = index_.find(key);
    if (found == index_.end()) return nullptr;
    entries_.splice(entries_.begin(), entries_, found->second);
    return found->second->value;
  }

  void insert(const ProblemKey& key, std::shared_ptr<const Value> value) {
    const std::scoped_lock lock(mutex_);
    if (index_.count(key) > 0) return;
    entries_.push_front({key, std::move(value)});
    index_.emplace(key, entries_.begin());
    if (entries_.size() > capacity_) {
      index_.erase(entries_.back().key);
      entries_.pop_back();
    }
  }

  std::size_t capacity_;
  std::mutex mutex_;
  std::list<Entry> entries_;  // the most recently used first
  std::unordered_map<ProblemKey, typename std::list<Entry>::iterator, ProblemKey::Hash> index_;
};

}  // namespace minidl::kernels::cpu
