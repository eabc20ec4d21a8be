// Directories with tokenizer files, of every layout, and what one that loads makes of some lines.
#include "fuzz.hpp"
#include "text/tokenizer.hpp"

using namespace pipeformer;

void fuzz(std::span<const std::byte> bytes) {
  const test::MemoryFolder folder(bytes);
  const auto tokenizer = Tokenizer::load(folder.path());
  for (const char* line :
       {"", " ", "the cat  sat", "Größe \xe2\x96\x81 \xf0\x9f\x98\x80 ﬁ x\xcc\x88", "[CLS] a\tb </s>"})
    tokenizer->decode(tokenizer->encode(line));
}
