/// The keys of config.json and generation_config.json, read or written: a family's function names each key once
/// (`field`), for both directions.
#pragma once
#include <cstdint>
#include <initializer_list>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "core/json.hpp"
#include "models/configuration.hpp"

namespace pipeformer {

class ConfigKeys {
 public:
  /// For reading. Every look at a key notes that it is understood. generation: generation_config.json, where it exists;
  /// what it says about ids goes before.
  ConfigKeys(Json config, std::optional<Json> generation) : config_(config), generation_(generation) {}
  /// For writing.
  ConfigKeys() : written_(std::make_shared<Written>()) {}
  bool writing() const { return written_ != nullptr; }

  /// Reading sets `value` to the key's value, or to the fallback; without a fallback the key must be there. Writing
  /// takes the value as it is.
  void field(const std::string& key, std::int64_t& value);
  void field(const std::string& key, std::int64_t& value, std::int64_t fallback);
  void field(const std::string& key, double& value, double fallback);
  void field(const std::string& key, bool& value, bool fallback);
  void field(const std::string& key, Activation& value, Activation fallback);
  /// A number, of which null says 0.
  void nullable(const std::string& key, double& value, double fallback);
  void nullable(const std::string& key, std::int64_t& value, std::int64_t fallback);
  /// Ids: none, one or several (at most `most`); -1 stands for none. Written to both files, read from
  /// generation_config.json first.
  void ids(const std::string& key, std::vector<std::int64_t>& ids, std::size_t most);
  void id(const std::string& key, std::int64_t& id);
  /// The one id that bad_words_ids forbids, -1 for none.
  void suppressed(std::int64_t& id);

  // Reading only; writing finds nothing.
  std::optional<Json> get(const std::string& key) const;  ///< A member that is set (not null).
  bool is_null(const std::string& key) const;             ///< A member that is there and says that it is not set.
  std::string text(const std::string& key, const std::string& fallback) const;
  std::string architecture() const;  ///< The first of `architectures`; empty when there is none.
  /// Throws Error unless the key is missing, null, or has this value: we do nothing else.
  void expect(const std::string& key, bool value) const;
  void expect(const std::string& key, const char* value) const;
  /// Keys that change nothing here.
  void harmless(std::initializer_list<const char*> keys) const { seen_->insert(keys.begin(), keys.end()); }
  /// The keys that nobody asked for and that are not known to change no result, sorted.
  std::vector<std::string> not_understood() const;

  /// Of a member that is an object; writing makes it.
  ConfigKeys inside(const std::string& key);

  // Writing only; reading notes that the key is understood, and is not checked.
  void say(const std::string& key, const Attribute& value);
  void say_json(const std::string& key, const std::string& json);
  std::string config_json() const;
  /// Empty when nothing was said about ids.
  std::string generation_json() const;

 private:
  struct Written {
    std::map<std::string, std::string> config, generation;  ///< Values as JSON.
    std::map<std::string, std::shared_ptr<Written>> objects;
  };
  explicit ConfigKeys(std::shared_ptr<Written> written) : written_(std::move(written)) {}
  static std::string object(const Written& written, const std::string& indent);
  Json need(const std::string& key) const;
  /// From generation_config.json first.
  std::optional<Json> about_ids(const std::string& key) const;

  std::optional<Json> config_, generation_;
  std::shared_ptr<std::set<std::string>> seen_ = std::make_shared<std::set<std::string>>();  ///< Shared by copies.
  std::shared_ptr<Written> written_;
};

/// A number in the shortest form that reads as the same.
std::string number_text(double);

/// An activation by its name in the reference library, which `value` says; throws Error naming that value for one that
/// is not known.
Activation activation_of(const Json& value, const std::string& name);
/// The name that an export says. Throws Error for an activation without one.
std::string activation_text(Activation);

}  // namespace pipeformer
