# How other projects get minidl: find_package on the build folder (-Dminidl_DIR=…) or after an
# installation, pkg-config, and packages made by cpack. Emulated builds are for tests: they are not
# installed.
include(CMakePackageConfigHelpers)
include(GNUInstallDirs)

configure_file(cmake/minidlConfig.cmake.in ${PROJECT_BINARY_DIR}/minidlConfig.cmake @ONLY)
configure_file(cmake/MinidlCudaSources.cmake ${PROJECT_BINARY_DIR}/MinidlCudaSources.cmake COPYONLY)
write_basic_package_version_file(${PROJECT_BINARY_DIR}/minidlConfigVersion.cmake
                                 COMPATIBILITY SameMinorVersion)
set(targets minidl)
if(MINIDL_CUDA STREQUAL "EMULATED")
  list(APPEND targets minidl_emulator minidl_emulated_runtime)
endif()
export(TARGETS ${targets} NAMESPACE minidl:: FILE ${PROJECT_BINARY_DIR}/minidlTargets.cmake)
if(MINIDL_CUDA STREQUAL "EMULATED")
  return()
endif()

# Public headers only, where the tree's links have them. Of CUDA's, those for kernels of one's own.
minidl_public_headers(headers kernels/*.h kernels/common/*.h core/*.h core/*/*.h nn/*.h nn/*/*.h
                      dist/*.h)
list(APPEND headers kernels/cuda/context.cuh kernels/cuda/launch.cuh kernels/cuda/runtime/fail.h)
foreach(header IN LISTS headers)
  get_filename_component(folder ${header} DIRECTORY)
  install(FILES ${header} DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/minidl/${folder})
endforeach()
install(FILES ${MINIDL_INCLUDE_DIR}/minidl/minidl.h
        DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/minidl)
install(FILES LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR})

set(package_folder ${CMAKE_INSTALL_LIBDIR}/cmake/minidl)
target_include_directories(minidl PUBLIC $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
set_target_properties(minidl PROPERTIES VERSION ${PROJECT_VERSION}
                      SOVERSION ${PROJECT_VERSION_MAJOR}.${PROJECT_VERSION_MINOR})
install(TARGETS minidl EXPORT minidlTargets)
install(EXPORT minidlTargets NAMESPACE minidl:: DESTINATION ${package_folder})
install(FILES ${PROJECT_BINARY_DIR}/minidlConfig.cmake
              ${PROJECT_BINARY_DIR}/minidlConfigVersion.cmake cmake/MinidlCudaSources.cmake
        DESTINATION ${package_folder})

# pkg-config. A static library brings what it is linked with.
set(MINIDL_PC_LIBS "")
set(MINIDL_PC_REQUIRES "")
if(NOT BUILD_SHARED_LIBS)
  set(MINIDL_PC_REQUIRES "fmt zlib")
  list(APPEND MINIDL_PC_LIBS ${MINIDL_DNNL_LIBRARY} ${OpenMP_CXX_LIBRARIES} ${MPI_C_LIBRARIES}
       ${CMAKE_DL_LIBS})
  if(MINIDL_CUDA STREQUAL "ON")
    list(APPEND MINIDL_PC_LIBS ${MINIDL_CUDART} rt)
  endif()
  list(TRANSFORM MINIDL_PC_LIBS REPLACE "^([a-z]+)$" "-l\\1")  # dl, rt
  list(APPEND MINIDL_PC_LIBS -pthread)
  list(JOIN MINIDL_PC_LIBS " " MINIDL_PC_LIBS)
endif()
# From the file itself, so that an installation can be moved; Debian has libraries a folder deeper.
file(RELATIVE_PATH MINIDL_PC_TO_PREFIX /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
configure_file(cmake/minidl.pc.in ${PROJECT_BINARY_DIR}/minidl.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/minidl.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)

# cpack -G DEB, cpack -G TGZ
set(CPACK_PACKAGE_NAME libminidl-dev)
set(CPACK_PACKAGE_CONTACT "minidl")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "${PROJECT_DESCRIPTION}")
set(CPACK_RESOURCE_FILE_LICENSE ${PROJECT_SOURCE_DIR}/LICENSE)
set(CPACK_STRIP_FILES ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION libdevel)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
if(NOT BUILD_SHARED_LIBS)
  set(CPACK_DEBIAN_PACKAGE_DEPENDS "libdnnl-dev, libfmt-dev, zlib1g-dev")
  if(MINIDL_HAS_MPI)
    string(APPEND CPACK_DEBIAN_PACKAGE_DEPENDS ", libopenmpi-dev")
  endif()
endif()
include(CPack)
