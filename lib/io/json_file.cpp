#include "io/json_file.hpp"

#include "core/error.hpp"
#include "io/mapped_file.hpp"

namespace pipeformer {

JsonDocument read_json(const std::string& path, const JsonLimits& limits) {
  const MappedFile file(path);
  return JsonDocument::parse({reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()}, path, limits);
}

}  // namespace pipeformer
