// Statistics, reports and pictures.
#include <catch2/catch.hpp>
#include <cmath>
#include <limits>
#include <sstream>

#include "core/error.hpp"
#include "view/curves.hpp"
#include "view/heatmap.hpp"
#include "view/labels.hpp"
#include "view/over_image.hpp"
#include "view/report.hpp"
#include "view/scatter.hpp"
#include "view/statistics.hpp"
#include "view/svg.hpp"

using namespace pipeformer;

namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInf = std::numeric_limits<double>::infinity();

template <class T>
Array array(Shape shape, const std::vector<T>& values) {
  return Array::of<T>(std::move(shape), std::span<const T>(values));
}

std::size_t occurrences(const std::string& text, const std::string& what) {
  std::size_t count = 0;
  for (std::size_t at = 0; (at = text.find(what, at)) != std::string::npos; at += what.size()) ++count;
  return count;
}

}  // namespace

TEST_CASE("statistics of a few numbers") {
  const Statistics s = statistics(array<float>({2, 3}, {1, -2, 0, 4, 0, 3}));
  CHECK(s.count == 6);
  CHECK(s.zeros == 2);
  CHECK(s.min == -2);
  CHECK(s.max == 4);
  CHECK(s.mean == Approx(1));
  CHECK(s.std() == Approx(2));
  CHECK(s.finite());
}

TEST_CASE("NaN is counted and ignored, infinity is counted and takes part") {
  Statistics s = statistics(array<double>({4}, {1, kNan, 3, kNan}));
  CHECK(s.nan == 2);
  CHECK(s.count == 4);
  CHECK(s.mean == 2);
  CHECK(s.std() == 1);
  CHECK_FALSE(s.finite());
  s = statistics(array<double>({3}, {1, -kInf, 3}));
  CHECK(s.infinite == 1);
  CHECK(s.min == -kInf);
  CHECK(s.max == 3);
  CHECK(s.mean == -kInf);
  CHECK(std::isnan(s.std()));
}

TEST_CASE("statistics of nothing") {
  for (const Array& nothing : {Array(DType::f4, {0, 5}), array<float>({2}, {NAN, NAN})}) {
    const Statistics s = statistics(nothing);
    CHECK(std::isnan(s.min));
    CHECK(std::isnan(s.mean));
    CHECK(std::isnan(s.std()));
  }
}

TEST_CASE("statistics of all dtypes") {
  CHECK(statistics(array<std::int32_t>({3}, {-5, 0, 8})).mean == 1);
  CHECK(statistics(array<std::int64_t>({2}, {1LL << 40, 0})).max == 1099511627776.0);
  CHECK(statistics(array<std::uint8_t>({4}, {255, 0, 0, 1})).zeros == 2);
  CHECK(statistics(array<float>({2}, {0.5F, 1.5F}).as(DType::f2)).mean == 1);
}

TEST_CASE("merged statistics are those of the whole, across blocks and large offsets") {
  std::vector<double> values;
  for (int i = 0; i < 20000; ++i) values.push_back(1e6 + std::sin(i * 0.7) + (i % 7 == 0 ? kNan : 0));
  const Statistics whole = statistics(array<double>({20000}, values));
  Statistics merged;
  for (int begin = 0; begin < 20000; begin += 77) {
    const int end = std::min(20000, begin + 77);
    merged.merge(statistics(array<double>({end - begin}, {values.begin() + begin, values.begin() + end})));
  }
  long double sum = 0, squares = 0;
  int count = 0;
  for (const double v : values) {
    if (!std::isnan(v)) sum += v, ++count;
  }
  const long double mean = sum / count;
  for (const double v : values) {
    if (!std::isnan(v)) squares += (v - mean) * (v - mean);
  }
  for (const Statistics& s : {whole, merged}) {
    CHECK(s.count - s.nan == count);
    CHECK(s.mean == Approx(static_cast<double>(mean)).epsilon(1e-14));
    CHECK(s.std() == Approx(std::sqrt(static_cast<double>(squares / count))).epsilon(1e-9));
  }
}

TEST_CASE("numbers as text") {
  CHECK(number_text(0.1F) == "0.1");
  CHECK(number_text(0.1) == "0.1");
  CHECK(number_text(1.0 / 3, 6) == "0.333333");
  CHECK(number_text(-kInf) == "-inf");
  CHECK(number_text(kNan) == "nan");
  CHECK(coordinate(2.0) == "2");
  CHECK(coordinate(2.126) == "2.13");
}

TEST_CASE("round ticks") {
  CHECK(round_ticks(0, 1, 5) == std::vector<double>{0, 0.2, 0.4, 0.6, 0.8, 1});
  CHECK(round_ticks(-3, 7, 5) == std::vector<double>{-2, 0, 2, 4, 6});
  CHECK(round_ticks(1, 1, 5).empty());
}

TEST_CASE("texts in XML") {
  CHECK(xml_text("<a & \"b\">") == "&lt;a &amp; &quot;b&quot;&gt;");
  CHECK(xml_text("gr\xc3\xbcn") == "gr\xc3\xbcn");
  CHECK(xml_text("\x01\xff") == "\xef\xbf\xbd\xef\xbf\xbd");
  CHECK(elided("gr\xc3\xbcne", 4) == "gr\xc3\xbc\xe2\x80\xa6");
  CHECK(elided("gr\xc3\xbcne", 5) == "gr\xc3\xbcne");
}

TEST_CASE("colours run from light to dark") {
  CHECK(sequential_color(0) != sequential_color(1));
  CHECK(sequential_color(-1) == sequential_color(0));
  const std::string white = diverging_color(0);
  CHECK(white.substr(1, 2) == white.substr(5, 2));  // no hue in the middle
}

TEST_CASE("heat maps: one panel for a matrix, one for each head") {
  const Array heads = array<float>({2, 2, 3}, {0.1F, 0.2F, 0.7F, 0, 1, 0, 1, 0, 0, 0.25F, 0.25F, 0.5F});
  const HeatmapPart part{
      .record = heads, .row_tokens = {"<der>", "Hund"}, .column_tokens = {"the", "d&g", "."}, .row_title = "target"};
  HeatmapOptions options;
  const std::string svg = draw_heatmap({part}, options);
  CHECK(svg == draw_heatmap({part}, options));
  CHECK(occurrences(svg, ">head ") == 2);
  CHECK(occurrences(svg, "</title></rect>") == 12);
  CHECK(svg.find("target 0 &lt;der&gt;, column 2 .: 0.7<") != std::string::npos);
  CHECK(svg.find("d&g") == std::string::npos);
  CHECK(occurrences(draw_heatmap({{.record = array<float>({1, 2}, {1, NAN})}}), ">NaN<") == 1);

  options.mean = true;
  const std::string mean = draw_heatmap({part}, options);
  CHECK(occurrences(mean, "</title></rect>") == 6);
  CHECK(mean.find("target 0 &lt;der&gt;, column 0 the: 0.55<") != std::string::npos);
}

TEST_CASE("heat maps: parts with names, numbers in cells, shades of grey") {
  const HeatmapPart one{.record = array<float>({1, 2, 2}, {0.25F, 0.75F, 1, 0}), .name = "first", .layer = "layer 0"};
  const HeatmapPart two{
      .record = array<float>({1, 1, 3}, {0.5F, 0.125F, 0.375F}), .name = "second", .layer = "layer 1"};
  HeatmapOptions options;
  options.numbers = true;
  const std::string svg = draw_heatmap({one, two}, options);
  for (const char* text : {">first<", ">second<", ">layer 0, head 0<", ">layer 1, head 0<", ">.25<", ">.75<", ">.12<"})
    CHECK(occurrences(svg, text) == 1);
  CHECK(occurrences(svg, "</title></rect>") == 7);
  // Both parts have one scale: 1 is the darkest, in the second part too nothing is.
  CHECK(occurrences(svg, "fill=\"" + sequential_color(1) + "\"") == 1);
  options.grey = true;
  const std::string grey = draw_heatmap({one, two}, options);
  CHECK(occurrences(grey, "fill=\"" + grey_color(0.25) + "\"") == 1);
  for (std::size_t at = 0; (at = grey.find("fill=\"#", at)) != std::string::npos; at += 8) {
    const std::string color = grey.substr(at + 7, grey.find('"', at + 7) - at - 7);
    if (color.size() == 6)
      CHECK((color.substr(0, 2) == color.substr(2, 2) && color.substr(2, 2) == color.substr(4, 2)));
  }
  const std::string signs = draw_heatmap({{.record = array<float>({1, 4}, {-1, 0, 1, NAN})}}, options);
  CHECK(occurrences(signs, "fill=\"" + grey_color(1) + "\"") >= 1);  // the least is black, ...
  CHECK(occurrences(signs, "fill=\"" + grey_color(0) + "\"") >= 1);  // ... the largest white
  CHECK(occurrences(signs, "fill=\"url(#nan)\"") == 2);
  CHECK(occurrences(signs, "<pattern id=\"nan\"") == 1);
}

TEST_CASE("numbers of cells are readable") {
  for (const auto& [value, text] : std::vector<std::pair<double, std::string>>{{353, "353"},
                                                                               {12345, "12345"},
                                                                               {-7, "-7"},
                                                                               {352.7, "353"},
                                                                               {0.0123, "0.012"},
                                                                               {3.14, "3.1"},
                                                                               {1e7, "1e+07"},
                                                                               {-0.0, "0"},
                                                                               {INFINITY, "inf"}})
    CHECK(cell_text(value, false) == text);
}

TEST_CASE("layers and steps have no halves") {
  std::istringstream table("layer\tx\n0\t0.5\n1\t0.25\n");
  const std::string svg = draw_curves(read_curves(table, "t", "layer", {"x"}));
  CHECK(svg.find(">0.2<") == std::string::npos);
  CHECK(occurrences(svg, ">0<") == 1);
  CHECK(occurrences(svg, ">1<") == 1);
  CHECK(svg.find(">0.25<") + svg.find(">0.3<") != 2 * std::string::npos);  // the other axis has fractions
}

TEST_CASE("heat maps in characters") {
  HeatmapPart part{.record = array<float>({1, 2, 3}, {0, 0.5F, 1, 0.25F, 0.75F, NAN}),
                   .row_tokens = {"ein", "B\xc3\xa4r"},
                   .column_tokens = {"a", "bear", "."}};
  CHECK(write_heatmap_text({part}) ==
        "head 0\n       b\n       e\n       a\n     a r .\nein   ++@@\nB\xc3\xa4r ::##??\n\n' ' 0, @ 1\n");
  HeatmapOptions numbers;
  numbers.numbers = true;
  part.row_tokens = part.column_tokens = {};
  CHECK(write_heatmap_text({part}, numbers) == "head 0\n     0   1   2\n0    0 .50   1\n1  .25 .75 nan\n\n");
  CHECK(write_heatmap_text({{.record = array<float>({1, 3}, {-2, 0, 1})}}) == "   0 1 2\n0 -@  ++\n\n-@ -2, +@ 2\n");
  // 700 columns are 100 cells.
  const std::string wide = write_heatmap_text({{.record = array<float>({1, 700}, std::vector<float>(700, 0.5F))}});
  CHECK(wide.find("means of 1 x 7") != std::string::npos);
}

TEST_CASE("attention over an image") {
  // A row of a class token and 2 x 2 patches.
  const HeatmapPart part{
      .record = array<float>({2, 2, 5}, {0.5F, 0.25F, 0, 0.125F, 0.125F, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1}),
      .where = "w.npy: record 0"};
  const Array image = array<std::uint8_t>({2, 4}, {0, 255, 0, 255, 128, 128, 128, 128});
  const std::string svg = draw_over_image(image, part, {}, {});
  CHECK(svg == draw_over_image(image, part, {}, {}));
  CHECK(occurrences(svg, "<use href=\"#image\"/>") == 2);
  CHECK(occurrences(svg, "data:image/png;base64,iVBORw0KGgo") == 1);
  CHECK(occurrences(svg, "<title>patch ") == 8);
  CHECK(occurrences(svg, ">patch 0, 0: 0.25<") == 1);
  CHECK(occurrences(svg, ">head 0, other token 0.5<") == 1);
  CHECK(occurrences(svg, "fill-opacity=\"0.8\"") == 1);  // the largest weight: all that head 1 has
  CHECK(occurrences(draw_over_image(image, part, {1}, {}), ">head 0, other token 1<") == 1);
  CHECK_THROWS_WITH(draw_over_image(image, part, {2}, {}), "w.npy: record 0: there is no query 2, the weights have 2");
  CHECK_THROWS_WITH(draw_over_image(image, part, {0, 2, 3}, {}),
                    "w.npy: record 0: a grid of 2 x 3 patches does not fit 5 keys");
  CHECK_THROWS_AS(draw_over_image(array<std::uint8_t>({4}, {0, 1, 2, 3}), part, {}, {}), Error);
}

TEST_CASE("heat maps: large matrices are reduced, wrong ones refused") {
  const std::string svg = draw_heatmap({{.record = array<float>({700, 500}, std::vector<float>(350000, 0.5F))}});
  CHECK(occurrences(svg, "</title></rect>") <= 65536);
  CHECK(svg.find("means of") != std::string::npos);
  CHECK(svg.find(": 0.5<") != std::string::npos);
  CHECK_THROWS_AS(draw_heatmap({{.record = array<float>({3}, {1, 2, 3})}}), Error);
  CHECK_THROWS_AS(draw_heatmap({{.record = Array(DType::f4, {0, 3})}}), Error);
  CHECK_THROWS_WITH(
      draw_heatmap({{.record = array<float>({2, 1}, {1, 2}), .row_tokens = {"one"}, .where = "a.npy: record 3"}}),
      "a.npy: record 3: 1 row tokens do not match 2 rows");
}

TEST_CASE("names of intermediates in words, and their axes") {
  CHECK(tap_title("decoder/1/cross_attn/weights").whole == "decoder layer 1: cross-attention weights");
  CHECK(tap_title("step-2/text/encoder/10/ffn/hidden").layer == "layer 10");
  CHECK(tap_title("logits").layer.empty());
  CHECK(natural_before("encoder/2/x", "encoder/10/x"));
  CHECK(tap_axes("step-2/logits", {3, 9}, {{"step-2/encoder", 5}, {"step-2/decoder", 3}}).rows == "step-2/decoder");
  CHECK(tap_axes("logits", {5, 9}, {{"encoder", 5}}).rows == "encoder");
  CHECK(tap_axes("logits", {1, 9}, {{"encoder", 5}}).rows.empty());
  const TapAxes axes = tap_axes("decoder/0/cross_attn/weights", {2, 3, 5}, {{"encoder", 5}, {"decoder", 3}});
  CHECK((axes.rows == "decoder" && axes.columns == "encoder" && axes.row_name == "query"));
}

TEST_CASE("curves from a table") {
  std::istringstream table("step\ttrain\tvalid\n1\t4\t\n# a remark\n2\t2\t3\n");
  const auto curves = read_curves(table, "log.tsv", "step", {"train", "valid"});
  REQUIRE(curves.size() == 2);
  CHECK(curves[0].y == std::vector<double>{4, 2});
  CHECK(curves[1].x == std::vector<double>{2});
  const std::string svg = draw_curves(curves, {"Loss", "step", "", false, true});
  CHECK(svg == draw_curves(curves, {"Loss", "step", "", false, true}));
  CHECK(occurrences(svg, "<circle") == 3);
  CHECK(svg.find(">valid<") != std::string::npos);

  const auto failure = [](const std::string& text, const std::string& y) {
    std::istringstream in(text);
    try {
      draw_curves(read_curves(in, "t", "", {y}), {"", "", "", false, true});
    } catch (const Error& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  CHECK(failure("a\tb\n1\t2\n", "c") == "t: no column c, there are a, b");
  CHECK(failure("a\tb\n1\tx\n", "b") == "t: line 2: column b: x is not a number");
  CHECK(failure("a\tb\n1\n", "b") == "t: line 2: 1 cells do not match 2 column names");
  CHECK(failure("a\tb\n1\t-1\n", "b") == "b: -1 cannot be shown on a logarithmic axis");
  CHECK(failure("a\tb\n", "b") == "t: no row has a point to draw");
}

TEST_CASE("a long curve keeps its peak") {
  Curve curve{"loss", {}, {}};
  for (int i = 0; i < 100000; ++i) curve.x.push_back(i), curve.y.push_back(i == 54321 ? 100 : 0);
  const std::string svg = draw_curves({curve});
  CHECK(svg.size() < 100000);
  const double top = 380 * 0.04 / 1.08;  // the margin above the largest value
  CHECK(svg.find(' ' + coordinate(top) + '\n') != std::string::npos);
}

TEST_CASE("labels of a scatter stand apart from each other") {
  const std::string svg = draw_scatter({0, 1, 2}, {0, 1, 0}, {{"A & B", "", ""}, {"one", "<two>", "three"}});
  CHECK(occurrences(svg, "<circle") == 3);
  CHECK(occurrences(svg, ">A &amp; B</text>") == 1);
  CHECK(occurrences(svg, ">&lt;two&gt;</text>") == 1);
  const std::vector<double> same(50, 1.0);
  const std::string crowd = draw_scatter(same, same, {{}, std::vector<std::string>(50, "word")});
  CHECK(occurrences(crowd, ">word</text>") == 4);  // right, left, above, below
  CHECK(occurrences(crowd, ">word: 1, 1</title>") == 50);
  CHECK_THROWS_WITH(draw_scatter({1, 2}, {1, 2}, {{}, {"a"}}), "1 labels do not match 2 points");
  CHECK_THROWS_WITH(draw_scatter({}, {}), "there is no point to draw");
  CHECK_THROWS_WITH(draw_scatter({0, kNan}, {1, 3}), "point 1 (nan, 3) has no place in the plane");
}

TEST_CASE("values as text") {
  std::string out;
  ValuePrinter printer([&](const std::string& text) { out += text; }, 0);
  printer.print(array<float>({2, 2}, {0.1F, 1, -2.5F, 1e-9F}));
  printer.print(array<float>({2, 1, 1}, {3, 4}));
  CHECK(out == "0.1\t1\n-2.5\t1e-09\n\n3\n\n4\n");
  out.clear();
  ValuePrinter ids([&](const std::string& text) { out += text; }, 0);
  ids.print(array<std::int32_t>({3}, {7, 8, 9}));
  ids.print(Array(DType::i4, {0}));
  ids.print(array<std::int64_t>({}, {9007199254740993LL}));
  CHECK(out == "7\t8\t9\n\n9007199254740993\n");
}

TEST_CASE("a summary shows ranges of shapes") {
  std::string out;
  StatisticsTable table([&](const std::string& text) { out += text; }, false, 6);
  table.add(array<float>({1, 2}, {1, 2}), "f4");
  table.add(Array(DType::f4, {0, 2}), "f4");
  table.add(array<float>({2, 2}, {3, 4, 5, 0}), "f4");
  table.finish("s.npy");
  CHECK(out.substr(out.find('\n') + 1) == "s.npy\t3\tf4\t(0..2, 2)\t3\t6\t0\t5\t2.5\t1.70783\t1\t0\t0\n");
}
