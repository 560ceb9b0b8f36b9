# How minidl's own targets are compiled. Nothing here touches the flags of a project that includes
# us.

if(PROJECT_IS_TOP_LEVEL AND NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "Release, Debug or RelWithDebInfo" FORCE)
endif()

set(CMAKE_EXPORT_COMPILE_COMMANDS ON)

find_program(MINIDL_CCACHE ccache)
find_program(MINIDL_MOLD mold)
mark_as_advanced(MINIDL_CCACHE MINIDL_MOLD)

# Folders are included as "minidl/core/tensor.h", in the tree as after installation.
# Builds of one tree that share this folder compile equal sources by equal commands, which ccache
# then runs once: .ci/run does so.
set(MINIDL_INCLUDE_DIR ${PROJECT_BINARY_DIR}/include CACHE PATH "Where <minidl/…> is found")
mark_as_advanced(MINIDL_INCLUDE_DIR)
file(MAKE_DIRECTORY ${MINIDL_INCLUDE_DIR}/minidl)
foreach(floor kernels core nn dist)
  file(CREATE_LINK ${PROJECT_SOURCE_DIR}/${floor} ${MINIDL_INCLUDE_DIR}/minidl/${floor} SYMBOLIC)
endforeach()

# Options that every target of ours shares.
function(minidl_settings target)
  target_compile_features(${target} PUBLIC cxx_std_20)
  set_target_properties(${target} PROPERTIES CXX_EXTENSIONS OFF POSITION_INDEPENDENT_CODE ON)
  target_compile_options(${target} PRIVATE -Wall -Wextra -Wpedantic -Wshadow -Wconversion
                         -fno-math-errno)  # nobody reads errno, and sqrt vectorises without it
  if(NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
    target_compile_options(${target} PRIVATE -O2)  # kernels are useless without it
  endif()
  if(MINIDL_WERROR)
    target_compile_options(${target} PRIVATE -Werror)
  endif()
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
    # False alarms: on std::string (GCC PR 105651) and on fmt 9 in builds with assertions.
    target_compile_options(${target} PRIVATE -Wno-restrict -Wno-stringop-overflow)
  endif()
  target_include_directories(${target} PUBLIC $<BUILD_INTERFACE:${MINIDL_INCLUDE_DIR}>)
  if(MINIDL_SANITIZE)
    target_compile_options(${target} PRIVATE -fsanitize=${MINIDL_SANITIZE}
                           -fno-sanitize-recover=all -fno-omit-frame-pointer)
    target_link_options(${target} PUBLIC -fsanitize=${MINIDL_SANITIZE})
  endif()
  if(MINIDL_FUZZ)
    target_compile_options(${target} PRIVATE -fsanitize=fuzzer-no-link)
    target_link_options(${target} PUBLIC -fsanitize=fuzzer-no-link)
  endif()
  if(MINIDL_CCACHE)
    set_target_properties(${target} PROPERTIES CXX_COMPILER_LAUNCHER ${MINIDL_CCACHE})
  endif()
  if(MINIDL_MOLD)
    target_link_options(${target} PRIVATE -fuse-ld=mold)
  endif()
endfunction()

# minidl_public_headers(RESULT pattern...): the headers of the tree that match and do not call
# themselves not public; sorted.
function(minidl_public_headers result)
  list(TRANSFORM ARGN PREPEND "${PROJECT_SOURCE_DIR}/")
  file(GLOB headers CONFIGURE_DEPENDS RELATIVE ${PROJECT_SOURCE_DIR} ${ARGN})
  list(SORT headers)
  set(found "")
  foreach(header IN LISTS headers)
    file(STRINGS ${PROJECT_SOURCE_DIR}/${header} private LIMIT_COUNT 5
         REGEX "Not part of the public interface")
    if(NOT private)
      list(APPEND found ${header})
    endif()
  endforeach()
  set(${result} ${found} PARENT_SCOPE)
endfunction()

# <minidl/minidl.h> includes every public header of core, nn and dist but the one that needs mpi.h:
# generated, so that it cannot fall behind.
function(minidl_write_umbrella_header)
  minidl_public_headers(headers core/*.h core/*/*.h nn/*.h nn/*/*.h dist/*.h)
  list(REMOVE_ITEM headers dist/mpi.h)
  set(MINIDL_INCLUDES "")
  foreach(header IN LISTS headers)
    string(APPEND MINIDL_INCLUDES "#include \"minidl/${header}\"\n")
  endforeach()
  configure_file(${PROJECT_SOURCE_DIR}/cmake/minidl.h.in ${MINIDL_INCLUDE_DIR}/minidl/minidl.h)
endfunction()
