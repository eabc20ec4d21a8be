# Debian packages: `cpack -G DEB` in a build directory makes pipeformer, pipeformer-dev and, when built with MPI, pipeformer-mpi.
set(CPACK_PACKAGE_CONTACT "Pipeformer's maintainers <pipeformer@localhost>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "Transformers as Unix tools")
set(CPACK_PACKAGE_DESCRIPTION "Small executables that read and write tensors, so that a whole Transformer is a shell pipeline: tokenizers,
embeddings, attention, encoder, decoder, training, scores and pictures.")
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_COMPONENTS_ALL tools dev)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_ENABLE_COMPONENT_DEPENDS ON)
set(CPACK_DEBIAN_PACKAGE_SECTION science)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)  # Depends, from what the executables link with

set(CPACK_DEBIAN_TOOLS_PACKAGE_NAME pipeformer)
set(CPACK_DEBIAN_TOOLS_PACKAGE_RECOMMENDS "make")  # for the recipes
if(PIPEFORMER_TOOL_PREFIX STREQUAL "")
  # They have a program `peek` or `convert` too; -D PIPEFORMER_TOOL_PREFIX=pf- makes a package that goes with them.
  set(CPACK_DEBIAN_TOOLS_PACKAGE_CONFLICTS "peek, imagemagick-6.q16, imagemagick-6.q16hdri, graphicsmagick-imagemagick-compat")
endif()
set(CPACK_DEBIAN_DEV_PACKAGE_NAME pipeformer-dev)
set(CPACK_DEBIAN_DEV_PACKAGE_SECTION libdevel)
set(CPACK_COMPONENT_DEV_DEPENDS tools)
if(TARGET pipeformer_mpi)
  list(APPEND CPACK_COMPONENTS_ALL mpi)
  set(CPACK_DEBIAN_MPI_PACKAGE_NAME pipeformer-mpi)
  set(CPACK_COMPONENT_MPI_DEPENDS tools)
endif()
include(CPack)
