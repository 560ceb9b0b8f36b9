// What the tests under dist::run share.
#pragma once

#include "minidl/dist/context.h"

namespace minidl::test {

/// The job that the tests run in; any number of ranks.
dist::Context& world();

}  // namespace minidl::test
