#define PCRE2_CODE_UNIT_WIDTH 8
#include "text/hf/regex.hpp"

#include <pcre2.h>
#include <unicode/uchar.h>

#include <map>
#include <vector>

#include "core/error.hpp"
#include "text/utf8.hpp"

namespace pipeformer::hf {
namespace {

const std::string word = "\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}";
const std::string hexadecimal = "0-9a-fA-F";
const std::string latin_numbers = "\\x{B2}\\x{B3}\\x{B9}\\x{BC}-\\x{BE}";  // Of \\w outside of brackets only, as there.

/// Classes with a name, as parts of a bracket expression; between [: and :], or in \p{}.
const std::map<std::string, std::string> posix{
    {"alnum", "\\p{Alphabetic}\\p{Nd}"},
    {"alpha", "\\p{Alphabetic}"},
    {"ascii", "\\x00-\\x7F"},
    {"blank", "\\t\\p{Zs}"},
    {"cntrl", "\\p{Cc}"},
    {"digit", "\\p{Nd}"},
    {"lower", "\\p{Lowercase}"},
    {"punct", "\\p{P}\\p{S}"},
    {"space", "\\p{White_Space}"},
    {"upper", "\\p{Uppercase}"},
    {"word", word},
    {"xdigit", hexadecimal},
};

class Translator {
 public:
  Translator(std::string_view pattern, const std::string& where) : in_(pattern), where_(where) {}

  std::string run() {
    std::vector<std::size_t> groups;
    while (at_ < in_.size()) {
      const char c = in_[at_];
      if (c == '*' || c == '+' || c == '?') {
        out_ += take();
        if (next_is('?') || next_is('+')) out_ += take();
      } else if (c == '{' && interval()) {
        continue;
      } else if (c == ')') {
        out_ += take();
        check(!groups.empty(), "a bracket closes that never opened");
        atom_ = groups.back();
        groups.pop_back();
      } else if (c == '(') {
        groups.push_back(out_.size());
        open_group();
        if (out_.back() == ')') {  // Options for the rest: (?i)
          atom_ = groups.back();
          groups.pop_back();
        }
      } else {
        atom_ = out_.size();
        if (c == '[') {
          bracket();
        } else if (c == '\\') {
          escape(false);
        } else {
          out_ += take();
        }
      }
    }
    return out_;
  }

 private:
  void check(bool holds, const std::string& message) const {
    require(holds, where_, ": regular expression '", in_, "': ", message);
  }
  bool next_is(char c) const { return at_ < in_.size() && in_[at_] == c; }
  char take() {
    check(at_ < in_.size(), "it ends too early");
    return in_[at_++];
  }

  /// {n,m} and its kin. In this syntax {n,m}+ repeats the repetition, and {,m} begins at 0.
  bool interval() {
    std::size_t end = at_ + 1;
    while (end < in_.size() && (isdigit(static_cast<unsigned char>(in_[end])) || in_[end] == ',')) ++end;
    if (end == at_ + 1 || end >= in_.size() || in_[end] != '}') return false;
    std::string text(in_.substr(at_, end + 1 - at_));
    if (text == "{,}") return false;
    if (text[1] == ',') text.insert(1, "0");
    at_ = end + 1;
    out_ += text;
    if (next_is('?')) {
      out_ += take();
    } else if (next_is('+')) {
      take();
      out_.insert(atom_, "(?:");
      out_ += ")+";
    }
    return true;
  }

  void open_group() {
    out_ += take();
    check(!next_is('*'), "(* is not understood");
    if (!next_is('?')) return;
    out_ += take();
    const char kind = take();
    if (kind == ':' || kind == '=' || kind == '!' || kind == '>') {
      out_ += kind;
    } else if (kind == '<') {
      out_ += kind;
      if (next_is('=') || next_is('!')) {
        out_ += take();
      } else {
        while (!next_is('>')) out_ += take();
        out_ += take();
      }
    } else if (kind == '#') {
      while (take() != ')') continue;
      out_ += "#)";
    } else {
      --at_;
      for (char c = take();; c = take()) {  // Options: i, m (dot takes newlines), x.
        check(c == 'i' || c == 'm' || c == 'x' || c == '-' || c == ':' || c == ')', cat("option '", c, "' of a group"));
        out_ += c == 'm' ? 's' : c;
        if (c == ':' || c == ')') break;
      }
    }
  }

  /// A bracket expression; one inside of another is a union with it.
  void bracket() {
    out_ += take();
    if (next_is('^')) out_ += take();
    if (next_is(']')) out_ += '\\', out_ += take();
    for (int depth = 1; depth > 0;) {
      const char c = in_[at_ < in_.size() ? at_ : 0];
      check(at_ < in_.size(), "a [ that never closes");
      if (c == ']') {
        take();
        --depth;
      } else if (in_.substr(at_, 2) == "&&") {
        check(false, "&& in brackets is not understood");
      } else if (in_.substr(at_, 2) == "[:") {
        const std::size_t end = in_.find(":]", at_);
        check(end != std::string_view::npos, "[: without :]");
        const auto found = posix.find(std::string(in_.substr(at_ + 2, end - at_ - 2)));
        check(found != posix.end(), cat("class ", in_.substr(at_, end + 2 - at_), " is not understood"));
        out_ += found->second;
        at_ = end + 2;
      } else if (c == '[') {
        take();
        check(!next_is('^'), "a negated bracket inside of another");
        ++depth;
      } else if (c == '\\') {
        escape(true);
      } else {
        out_ += take();
      }
    }
    out_ += ']';
  }

  /// Parts of a class, in brackets of their own unless inside of some.
  void put_class(const std::string& parts, bool negated, bool inside) {
    check(!(inside && negated), "a negated class of several inside of brackets");
    out_ += inside ? parts : cat(negated ? "[^" : "[", parts, "]");
  }

  void property(bool inside, bool negated) {
    check(take() == '{', "\\p without {");
    if (next_is('^')) {
      take();
      negated = !negated;
    }
    std::string name;
    for (char c = take(); c != '}'; c = take()) name += c;
    std::string lower;
    for (const char c : name)
      if (isalnum(static_cast<unsigned char>(c))) lower += static_cast<char>(tolower(static_cast<unsigned char>(c)));
    if (const auto found = posix.find(lower); found != posix.end()) return put_class(found->second, negated, inside);
    const std::int32_t category = u_getPropertyValueEnum(UCHAR_GENERAL_CATEGORY_MASK, name.c_str());
    if (category != UCHAR_INVALID_CODE) {
      name = u_getPropertyValueName(UCHAR_GENERAL_CATEGORY_MASK, category, U_SHORT_PROPERTY_NAME);
      if (name == "LC") name = "L&";
    } else if (u_getPropertyValueEnum(UCHAR_SCRIPT, name.c_str()) != UCHAR_INVALID_CODE) {
      name = "sc:" + name;
    } else {
      check(u_getPropertyEnum(name.c_str()) != UCHAR_INVALID_CODE, cat("property '", name, "' is not understood"));
    }
    out_ += cat(negated ? "\\P{" : "\\p{", name, "}");
  }

  void code_point(std::size_t digits) {
    const std::string_view hex = in_.substr(at_, digits);
    check(hex.size() == digits && hex.find_first_not_of("0123456789abcdefABCDEF") == std::string_view::npos,
          "a character's number is cut short");
    at_ += digits;
    out_ += cat("\\x{", hex, "}");
  }

  void escape(bool inside) {
    take();
    const char c = take();
    switch (c) {
      case 's':
        out_ += "\\p{White_Space}";
        break;
      case 'S':
        out_ += "\\P{White_Space}";
        break;
      case 'd':
        out_ += "\\p{Nd}";
        break;
      case 'D':
        out_ += "\\P{Nd}";
        break;
      case 'w':
      case 'W':
        put_class(inside ? word : word + latin_numbers, c == 'W', inside);
        break;
      case 'h':
      case 'H':
        put_class(hexadecimal, c == 'H', inside);
        break;
      case 'p':
      case 'P':
        property(inside, c == 'P');
        break;
      case 'u':
        code_point(4);
        break;
      case 'x':
        if (next_is('{')) {
          take();
          const std::size_t end = in_.find('}', at_);
          check(end != std::string_view::npos, "\\x{ without }");
          code_point(end - at_);
          take();
        } else {
          check(next_is('0') || (at_ < in_.size() && in_[at_] >= '1' && in_[at_] <= '7'), "\\x of a byte above 7F");
          code_point(2);
        }
        break;
      case 'v':
        out_ += "\\x0B";
        break;
      case 'b':
      case 'B':
        if (inside) {
          check(c == 'b', "\\B inside of brackets");
          out_ += "\\x08";
        } else {
          const std::string all = word + latin_numbers;
          const std::string in = cat("(?<=[", all, "])"), out = cat("(?<![", all, "])");
          const std::string then_in = cat("(?=[", all, "])"), then_out = cat("(?![", all, "])");
          out_ += c == 'b' ? cat("(?:", in, then_out, "|", out, then_in, ")")
                           : cat("(?:", in, then_in, "|", out, then_out, ")");
        }
        break;
      default: {
        const auto byte = static_cast<unsigned char>(c);
        const bool known = !isalpha(byte) || std::string_view("ntrfaeAzZGRXKk").find(c) != std::string_view::npos;
        check(known && !(inside && std::string_view("AzZGRXKk").find(c) != std::string_view::npos),
              cat("\\", c, " is not understood"));
        if (byte < 0x80) out_ += '\\';
        out_ += c;
      }
    }
  }

  std::string_view in_;
  const std::string& where_;
  std::size_t at_ = 0;
  std::string out_;
  std::size_t atom_ = 0;  // Where in out_ the thing begins that a repetition would repeat.
};

/// What a thread needs for searching.
struct Workspace {
  pcre2_match_data* data = pcre2_match_data_create(1, nullptr);
  pcre2_match_context* context = pcre2_match_context_create(nullptr);
  pcre2_jit_stack* stack = pcre2_jit_stack_create(32 << 10, 8 << 20, nullptr);
  Workspace() { pcre2_jit_stack_assign(context, nullptr, stack); }
  ~Workspace() {
    pcre2_jit_stack_free(stack);
    pcre2_match_context_free(context);
    pcre2_match_data_free(data);
  }
};

std::string pcre_message(int code) {
  unsigned char text[256];
  pcre2_get_error_message(code, text, sizeof text);
  return reinterpret_cast<const char*>(text);
}

}  // namespace

struct Regex::Code {
  pcre2_code* compiled = nullptr;
  std::string where;
  bool jit = false;
  ~Code() { pcre2_code_free(compiled); }
};

Regex::Regex(std::string_view pattern, const std::string& where) : code_(std::make_unique<Code>()) {
  code_->where = where;
  const std::string translated = pcre_of_oniguruma(pattern, where);
  pcre2_compile_context* context = pcre2_compile_context_create(nullptr);
  pcre2_set_newline(context, PCRE2_NEWLINE_LF);
  pcre2_set_parens_nest_limit(context, 64);
  int error = 0;
  PCRE2_SIZE at = 0;
  code_->compiled =
      pcre2_compile(reinterpret_cast<PCRE2_SPTR>(translated.data()), translated.size(),
                    PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C, &error, &at, context);
  pcre2_compile_context_free(context);
  require(code_->compiled, where, ": regular expression '", pattern, "': ", pcre_message(error));
  code_->jit = pcre2_jit_compile(code_->compiled, PCRE2_JIT_COMPLETE) == 0;
}
Regex::~Regex() = default;
Regex::Regex(Regex&&) noexcept = default;
Regex& Regex::operator=(Regex&&) noexcept = default;

bool Regex::search(std::string_view text, std::size_t from, std::size_t& begin, std::size_t& end) const {
  thread_local Workspace workspace;
  const auto subject = reinterpret_cast<PCRE2_SPTR>(text.data());
  const int found =
      code_->jit ? pcre2_jit_match(code_->compiled, subject, text.size(), from, 0, workspace.data, workspace.context)
                 : pcre2_match(code_->compiled, subject, text.size(), from, PCRE2_NO_UTF_CHECK, workspace.data,
                               workspace.context);
  if (found == PCRE2_ERROR_NOMATCH) return false;
  require(found >= 0, code_->where, ": regular expression: ", pcre_message(found));
  const PCRE2_SIZE* offsets = pcre2_get_ovector_pointer(workspace.data);
  begin = offsets[0];
  end = offsets[1];
  return true;
}

std::string pcre_of_oniguruma(std::string_view pattern, const std::string& where) {
  return Translator(pattern, where).run();
}

std::string escape_regex(std::string_view text) {
  std::string escaped;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '\0') {
      escaped += "\\x{0}";
      continue;
    }
    if (byte < 0x80 && !isalnum(byte) && !iscntrl(byte)) escaped += '\\';
    escaped += c;
  }
  return escaped;
}

}  // namespace pipeformer::hf
