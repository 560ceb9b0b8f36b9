# What find_package(minidl) finds in the build tree, with -Dminidl_DIR=<build folder>.
include(CMakePackageConfigHelpers)
configure_file(cmake/minidlConfig.cmake.in ${PROJECT_BINARY_DIR}/minidlConfig.cmake @ONLY)
write_basic_package_version_file(${PROJECT_BINARY_DIR}/minidlConfigVersion.cmake
                                 COMPATIBILITY SameMinorVersion)
export(TARGETS minidl NAMESPACE minidl:: FILE ${PROJECT_BINARY_DIR}/minidlTargets.cmake)
