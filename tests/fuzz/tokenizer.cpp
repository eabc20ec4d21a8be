// Tokenizer models of all kinds, and what one that loads makes of some lines.
#include "text/tokenizer.hpp"

#include "fuzz.hpp"

using namespace pipeformer;

void fuzz(std::span<const std::byte> bytes) {
  const auto tokenizer = Tokenizer::parse(std::string(test::text(bytes)), "tok.model");
  for (const char* line :
       {"", " ", "the cat  sat", "Größe \xe2\x96\x81 \xf0\x9f\x98\x80 ﬁ x\xcc\x88", "a\tb\x01 \xef\xbb\xbf"}) {
    const auto ids = tokenizer->encode(line);
    tokenizer->decode(ids);
  }
  tokenizer->bytes();
}
