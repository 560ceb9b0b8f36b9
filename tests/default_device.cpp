// Tests whose tensors say nothing about their device make them on test_device().
#define CATCH_CONFIG_EXTERNAL_INTERFACES
#include "minidl/core/default_device.h"

#include "tests/catch.h"
#include "tests/device.h"

namespace {

#if CATCH_VERSION_MAJOR == 2
using Listener = Catch::TestEventListenerBase;
#else
using Listener = Catch::EventListenerBase;
#endif

class UseTestDevice final : public Listener {
 public:
  using Listener::Listener;
  void testRunStarting(const Catch::TestRunInfo& /*run*/) override {
    minidl::set_default_device(minidl::test::test_device());
  }
};

}  // namespace

CATCH_REGISTER_LISTENER(UseTestDevice)
