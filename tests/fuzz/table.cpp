// Tables as `peek --curves` reads and draws them.
#include <sstream>

#include "fuzz.hpp"
#include "view/curves.hpp"

using namespace pipeformer;

void fuzz(std::span<const std::byte> bytes) {
  std::istringstream in{std::string(test::text(bytes))};
  const auto curves = read_curves(in, "table.tsv", "", {});
  try {
    draw_curves(curves, {"title", "x", "y"});
  } catch (const Error&) {
  }
  draw_curves(curves, {"title", "x", "y", true, true});
}
