# The reference of the public headers, with the README as its first page: the target `docs` writes
# it to docs/html in the build folder. There is none where doxygen is not installed.
find_program(MINIDL_DOXYGEN doxygen)
mark_as_advanced(MINIDL_DOXYGEN)
if(NOT MINIDL_DOXYGEN)
  return()
endif()

minidl_public_headers(headers core/*.h core/*/*.h nn/*.h nn/*/*.h dist/*.h kernels/*.h
                      kernels/common/*.h)
file(GLOB pages CONFIGURE_DEPENDS RELATIVE ${PROJECT_SOURCE_DIR} ${PROJECT_SOURCE_DIR}/*.md
     ${PROJECT_SOURCE_DIR}/docs/*.md ${PROJECT_SOURCE_DIR}/docs/guide/*.md)
list(APPEND pages bench/peers/README.md tests/emu/README.md)  # others link to them
list(TRANSFORM headers PREPEND "${PROJECT_SOURCE_DIR}/")
list(TRANSFORM pages PREPEND "${PROJECT_SOURCE_DIR}/")
list(JOIN pages "\" \"" MINIDL_DOCS_PAGES)
list(JOIN headers "\" \"" MINIDL_DOCS_HEADERS)

set(MINIDL_DOCS_DIR ${PROJECT_BINARY_DIR}/docs)
file(MAKE_DIRECTORY ${MINIDL_DOCS_DIR})
configure_file(${PROJECT_SOURCE_DIR}/docs/Doxyfile.in ${MINIDL_DOCS_DIR}/Doxyfile @ONLY)
add_custom_target(docs COMMAND ${MINIDL_DOXYGEN} ${MINIDL_DOCS_DIR}/Doxyfile VERBATIM
                  COMMENT "Writing ${MINIDL_DOCS_DIR}/html/index.html")
