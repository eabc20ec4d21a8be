#include "core/visible.hpp"

#include <catch2/catch.hpp>
#include <string>

using pipeformer::visible;

TEST_CASE("what a terminal would act on is spelled out", "[visible]") {
  CHECK(visible("\x1b[31mred\a\x7f\r") == "\\x1b[31mred\\x07\\x7f\\x0d");
  CHECK(visible(std::string("a\0b", 3)) == "a\\x00b");
  CHECK(visible("\xc2\x9b"
                "31m \xc2\x85") == "\\x9b31m \\x85");  // C1 in UTF-8
  CHECK(visible("\x9b"
                "31m\xff") == "\\x9b31m\\xff");  // raw
  CHECK(visible("\xe2\x80\xae \xe2\x81\xa6 \xe2\x80\x8f \xd8\x9c") == "\\u202e \\u2066 \\u200f \\u061c");
  CHECK(visible("\xe2\x80\xa8\xe2\x80\xa9\xef\xbb\xbf") == "\\u2028\\u2029\\ufeff");
  CHECK(visible("\xc0\x9b \xe2\x80 \xed\xa0\x80") ==
        "\\xc0\\x9b \\xe2\\x80 \\xed\\xa0\\x80");  // overlong, cut, surrogate
  CHECK(visible("größe\tĀ 日本 \xf0\x9f\x99\x82 \xc2\xa0\n") == "größe\tĀ 日本 \xf0\x9f\x99\x82 \xc2\xa0\n");
}
