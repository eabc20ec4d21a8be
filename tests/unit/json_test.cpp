#include "core/json.hpp"

#include <catch2/catch.hpp>

#include "core/error.hpp"
#include "files.hpp"
#include "io/json_file.hpp"

using namespace pipeformer;

namespace {

JsonDocument parse(const std::string& text, const JsonLimits& limits = {}) {
  return JsonDocument::parse(text, "config.json", limits);
}

void refused(const std::string& text, const std::string& message, const JsonLimits& limits = {}) {
  CHECK_THROWS_WITH(parse(text, limits), "config.json: " + message);
}

}  // namespace

TEST_CASE("JSON values come out as they went in", "[json]") {
  const auto document = parse(
      R"({"b": [1, -2.5, true, null, "x\u0000\ud83d\ude00é"], "a": {"big": 9223372036854775807, "round": 512.0}})");
  const Json root = document.root();
  REQUIRE(root.size() == 2);
  CHECK(root.key(0) == "b");
  CHECK(root.key(1) == "a");
  const Json list = root.at("b");
  REQUIRE(list.size() == 5);
  CHECK(list[0].integer() == 1);
  CHECK(list[0].number() == 1.0);
  CHECK(list[1].number() == -2.5);
  CHECK(list[2].boolean());
  CHECK(list[3].is_null());
  CHECK(list[4].string() == std::string("x\0😀é", 8));
  CHECK(root.at("a").at("big").integer() == INT64_MAX);
  CHECK(root.at("a").at("round").integer() == 512);
  CHECK_FALSE(root.find("c"));
}

TEST_CASE("null is a member that find() finds and get() passes over", "[json]") {
  const auto document = parse(R"({"head_dim": null})");
  CHECK(document.root().find("head_dim")->is_null());
  CHECK_FALSE(document.root().get("head_dim"));
}

TEST_CASE("JSON of the wrong type is named with its path and value", "[json]") {
  const auto document =
      parse(R"({"hidden_size": "x", "layers": [{"type": 7, "a": []}], "half": 0.5, "huge": 1e300, "long": ")" +
            std::string(59, 'a') + "éa\"}");
  const Json root = document.root();
  CHECK_THROWS_WITH(root.at("hidden_size").integer(), "config.json: hidden_size is \"x\", not a whole number");
  CHECK_THROWS_WITH(root.at("half").integer(), "config.json: half is 0.5, not a whole number");
  CHECK_THROWS_WITH(root.at("huge").integer(), "config.json: huge is 1e+300, which is too large");
  CHECK_THROWS_WITH(root.at("hidden_size").number(), "config.json: hidden_size is \"x\", not a number");
  const Json layer = root.at("layers")[0];
  CHECK_THROWS_WITH(layer.at("type").string(), "config.json: layers[0].type is 7, not a text");
  CHECK_THROWS_WITH(layer.at("a").boolean(), "config.json: layers[0].a is an array, not true or false");
  CHECK_THROWS_WITH(layer.at("type").find("x"), "config.json: layers[0].type is 7, not an object");
  CHECK_THROWS_WITH(layer.at("type").size(), "config.json: layers[0].type is 7, not an array or object");
  CHECK_THROWS_WITH(layer.at("none"), "config.json: layers[0] has no \"none\"");
  CHECK_THROWS_WITH(root.at("none"), "config.json: the document has no \"none\"");
  CHECK_THROWS_WITH(root.at("layers").key(0), "config.json: layers is an array, not an object");
  CHECK_THROWS_WITH(root.at("layers")[1], "config.json: layers is an array, of 1 values, without number 1");
  CHECK_THROWS_WITH(root.at("long").integer(),
                    "config.json: long is \"" + std::string(59, 'a') + "...\", not a whole number");
  CHECK_THROWS_WITH(root.at("half").fail("not one of 1, 2"), "config.json: half is 0.5, not one of 1, 2");
}

TEST_CASE("what is no JSON is refused where it stands", "[json]") {
  refused("", "line 1, column 1: unexpected end of input; expected '[', '{', or a literal");
  refused("{\n  \"a\": 1,\n  \"b\" 2}", "line 3, column 7: unexpected number literal; expected ':'");
  CHECK_THROWS_WITH(parse("[1] x"), Catch::Contains("line 1, column 5"));
  CHECK_THROWS_WITH(parse("[NaN]"), Catch::Contains("line 1"));
  CHECK_THROWS_WITH(parse("[1,]"), Catch::Contains("line 1, column 4"));
  CHECK_THROWS_WITH(parse("\"\xff\""), Catch::Contains("UTF-8"));
  CHECK_THROWS_WITH(parse("\"\\ud800\""), Catch::Contains("line 1"));
  CHECK_THROWS_WITH(parse("[1e999]"), Catch::Contains("1e999 is no number that can be held"));
  const std::string whole = R"({"a": [1, {"b": "c\u00e9"}], "d": -1.5e3})";
  for (std::size_t size = 0; size < whole.size(); ++size) CHECK_THROWS_AS(parse(whole.substr(0, size)), Error);
}

TEST_CASE("a key twice in an object is refused, twice in a document it is not", "[json]") {
  refused("{\"a\": 1,\n\"b\": 2, \"a\": 3}", "line 2, column 16: the key \"a\" stands twice in one object");
  refused("{\"a\": 1, \"\\u0061\": 3}", "line 1, column 22: the key \"a\" stands twice in one object");
  const auto document = parse(R"([{"a": 1}, {"a": 2}])");
  CHECK(document.root()[1].at("a").integer() == 2);
}

TEST_CASE("JSON has bounds", "[json]") {
  const auto nested = [](std::size_t depth) { return std::string(depth, '[') + std::string(depth, ']'); };
  CHECK_NOTHROW(parse(nested(64)));
  refused(nested(65), "line 1, column 66: more than 64 arrays and objects within each other");
  CHECK_THROWS_WITH(parse(nested(1'000'000)), Catch::Contains("more than 64 arrays"));
  CHECK_THROWS_WITH(parse(std::string(1'000'000, '[')), Catch::Contains("more than 64 arrays"));
  refused("[1, 2, 3]", "JSON of 9 bytes is longer than 8", {.bytes = 8});
  CHECK_NOTHROW(parse("[1, 2, 3]", {.values = 4}));
  refused("[1, 2, 3]", "line 1, column 10: more than 3 values", {.values = 3});
}

TEST_CASE("a member of a large object is found by its key", "[json]") {
  std::string text = "{";
  for (int i = 0; i < 100'000; ++i)
    text += (i > 0 ? ", \"" : "\"") + std::to_string(i * 7919 % 100'003) + "\": " + std::to_string(i);
  const auto document = parse(text + "}");
  for (int i = 0; i < 100'000; i += 11) REQUIRE(document.root().at(std::to_string(i * 7919 % 100'003)).integer() == i);
}

TEST_CASE("texts are written as JSON strings", "[json]") {
  const std::string text("a\"\\\n\0é\x1f", 8);
  CHECK(json_string(text) == R"("a\"\\\n\u0000é\u001f")");
  const auto document = parse(json_string(text));
  CHECK(document.root().string() == text);
  CHECK_THROWS_AS(json_string("\xff"), Error);
}

TEST_CASE("JSON files are named in messages", "[json]") {
  test::TemporaryDirectory directory;
  test::spit(directory / "config.json", "{\"a\": 1}");
  const auto document = read_json(directory / "config.json");
  CHECK(document.root().at("a").integer() == 1);
  CHECK_THROWS_WITH(read_json(directory / "none.json"), Catch::Contains("none.json: cannot open"));
  test::spit(directory / "empty.json", "");
  CHECK_THROWS_WITH(read_json(directory / "empty.json"), Catch::Contains("empty.json: line 1, column 1"));
}
