#include "io/address.hpp"

#include <sys/stat.h>

namespace pipeformer {
namespace {
bool exists(const std::string& path) {
  struct stat status {};
  return ::stat(path.c_str(), &status) == 0;
}
}  // namespace

bool has_hdf5_suffix(const std::string& path) {
  return path.ends_with(".h5") || path.ends_with(".hdf5");
}

Address split_address(const std::string& text) {
  if (exists(text)) return {text, ""};
  for (std::size_t colon = text.rfind(':'); colon != std::string::npos && colon > 0;
       colon = text.rfind(':', colon - 1)) {
    const std::string file = text.substr(0, colon);
    if (has_hdf5_suffix(file) || exists(file)) return {file, text.substr(colon + 1)};
  }
  return {text, ""};
}

}  // namespace pipeformer
