// JSON schemas: each keyword that is taken, and the name and path of each that is not.
#include <gtest/gtest.h>

#include "tests/unit/model/grammar/small_table.hpp"

namespace troupe::model {
namespace {

struct Case {
  std::string schema;
  std::vector<std::string> fit;
  std::vector<std::string> misfit;
};

void check(const std::vector<Case>& cases) {
  for (const Case& one : cases) {
    const auto grammar = compile_schema(one.schema);
    ASSERT_TRUE(grammar.has_value()) << one.schema << ": " << grammar.error().detail;
    for (const auto& text : one.fit)
      EXPECT_TRUE(fits(*grammar, text)) << one.schema << "\n" << text;
    for (const auto& text : one.misfit)
      EXPECT_FALSE(fits(*grammar, text)) << one.schema << "\n" << text;
  }
}

TEST(Schema, Types) {
  check({
      {R"({"type": "null"})", {"null"}, {"", "nul", "true", " null", "null "}},
      {R"({"type": "boolean"})", {"true", "false"}, {"null", "True"}},
      {R"({"type": ["string", "null"]})", {"null", "\"a\""}, {"1"}},
      {R"({"type": "integer"})",
       {"0", "-1", "999999999999999999"},
       {"01", "-0", "1.0", "1e2", "+1", "-", "1000000000000000000"}},
      {R"({"type": "number"})",
       {"0", "-0.5", "1e9", "12.25E-07", "1e+1"},
       {"1.", ".5", "1e", "1e100", "00", "NaN", "0x1", "12345678901234567"}},
      {R"({"type": "string"})",
       {R"("")", R"("a\"\\\/\b\f\n\r\t")", R"("\u00e9é中😀")", R"("\ud83D\uDE00")", "\"\x7f\""},
       {R"(")", R"("a)", "\"\n\"", R"("\x")", R"("\ud800")", R"("\ude00")", R"("\ud800\u0041")",
        "\"\x80\"", R"("a"b)"}},
      {"true",
       {"1", "[]", "{}", R"({"a": [1, {"b": null}]})", R"("x")", "false"},
       {"", "x", "[1,]"}},
      {"{}", {"1", "[[[]]]"}, {"[", "{]"}},
      {R"({"title": "t", "description": "d", "default": 1, "examples": [], "$schema": "s",
           "$comment": "c", "$id": "i", "deprecated": true})",
       {"7"},
       {"seven"}},
  });
}

TEST(Schema, Strings) {
  check({
      {R"({"type": "string", "minLength": 2, "maxLength": 3})",
       {R"("ab")", R"("中文😀")", R"("\n\\")"},
       {R"("a")", R"("abcd")", R"("\u0061b")"}},
      {R"({"type": "string", "minLength": 1})", {R"("a")", R"("aaaaaaa")"}, {R"("")"}},
      {R"({"type": "string", "maxLength": 0})", {R"("")"}, {R"("a")"}},
      {R"({"type": "string", "minLength": 99, "maxLength": 100})",
       {'"' + std::string(99, 'a') + '"', '"' + std::string(100, 'a') + '"'},
       {'"' + std::string(98, 'a') + '"', '"' + std::string(101, 'a') + '"'}},
      {R"({"type": "string", "pattern": "^a.c$"})", {R"("abc")", R"("a\"c")"}, {R"("ac")"}},
      {R"({"type": "string", "pattern": "b"})", {R"("b")", R"("abc")"}, {R"("ac")", R"("")"}},
      {R"({"type": "string", "pattern": "^a|b$"})",
       {R"("a")", R"("ax")", R"("xb")"},
       {R"("xa")", R"("bx")"}},
      {R"({"type": "string", "pattern": "^\\u0001[\\n\\t]$"})",
       {R"("\u0001\n")", R"("\u0001\t")"},
       {R"("\u0001\u000a")"}},
      {R"({"type": "string", "format": "date"})",
       {R"("2024-02-29")", R"("2000-02-29")", R"("2023-12-31")", R"("2023-04-30")"},
       {R"("2023-02-29")", R"("1900-02-29")", R"("2023-04-31")", R"("2023-13-01")",
        R"("0000-02-29")", R"("2023-1-1")"}},
      {R"({"type": "string", "format": "time"})",
       {R"("23:59:59Z")", R"("00:00:00.5+02:00")"},
       {R"("24:00:00Z")", R"("12:00:00")", R"("12:00Z")"}},
      {R"({"type": "string", "format": "date-time"})",
       {R"("2024-02-29T12:00:00Z")"},
       {R"("2024-02-29 12:00:00Z")", R"("2024-02-29")"}},
      {R"({"type": "string", "format": "uuid"})",
       {R"("123e4567-e89b-12d3-a456-426614174000")"},
       {R"("123e4567e89b12d3a456426614174000")"}},
      {R"({"type": "string", "format": "email"})",
       {R"("a.b+c@example.co.uk")"},
       {R"("a@b")", R"("@b.c")", R"(".a@b.c")", R"("a@-b.c")"}},
  });
}

TEST(Schema, Numbers) {
  check({
      {R"({"type": "integer", "minimum": -12, "maximum": 105})",
       {"-12", "-9", "-1", "0", "7", "99", "100", "105"},
       {"-13", "-20", "-100", "106", "110", "200", "1000"}},
      {R"({"type": "integer", "exclusiveMinimum": 0, "maximum": 9})", {"1", "9"}, {"0", "10"}},
      {R"({"type": "integer", "minimum": 1.5, "exclusiveMaximum": 3.5})", {"2", "3"}, {"1", "4"}},
      {R"({"type": "integer", "maximum": -5})", {"-5", "-99999"}, {"-4", "0", "5"}},
      {R"({"type": "integer", "minimum": 4, "exclusiveMinimum": 2})", {"4"}, {"3"}},
      {R"({"type": "integer", "minimum": 1000000000000})",
       {"1000000000000", "999999999999999999"},
       {"999999999999"}},
      {R"({"type": "number", "minimum": 0, "maximum": 1})",
       {"0", "0.0", "0.5", "0.999999", "1"},
       {"-0.1", "1.1", "1.0000001", "2", "1e0", "-0"}},
      {R"({"type": "number", "exclusiveMinimum": 0})",
       {"0.000001", "1", "17.25"},
       {"0", "0.0", "0.000000", "-1", "0.0000001"}},
      {R"({"type": "number", "exclusiveMaximum": 10, "minimum": -2})",
       {"-2", "-1.5", "9.999999", "-0.000001", "0"},
       {"10", "10.0", "-2.1", "-3", "100"}},
      {R"({"type": "number", "maximum": -3})", {"-3", "-3.5", "-10"}, {"-2", "-2.999", "0", "3"}},
      {R"({"minimum": 3})", {"3", "4.5"}, {"2", "\"a\""}},
  });
}

TEST(Schema, Objects) {
  check({
      {R"({"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "null"}},
           "required": ["a"], "additionalProperties": false})",
       {R"({"a":1})", R"({"a": 1, "b": null})", "{\n  \"a\": 1,\n  \"b\": null\n}", R"({ "a":1 })"},
       {R"({})", R"({"b":null})", R"({"b":null,"a":1})", R"({"a":1,})", R"({"a":1,"c":1})",
        R"({"a" :1})", "{  \"a\":1}", R"({"a":  1})", "{\n\n\"a\":1}"}},
      {R"({"type": "object", "properties": {"a": true, "b": true, "c": true}})",
       {R"({})", R"({"a":1})", R"({"b":1})", R"({"c":1})", R"({"a":1,"c":1})", R"({"b":1,"c":1})",
        R"({"a":1,"b":2,"c":3})"},
       {R"({"b":1,"a":1})", R"({,"a":1})", R"({"a":1 ,"b":1})", R"({"d":1})"}},
      {R"({"type": "object", "properties": {"ab": {"type": "null"}, "a\"é": {"type": "null"}},
           "additionalProperties": {"type": "integer"}})",
       {R"({"ab":null})", R"({"a":1})", R"({"abc":1,"b":2})", R"({"ab":null,"x":1})",
        R"({"a\"é":null,"":3})", R"({"a\"":1})"},
       {R"({"ab":1})", R"({"\u0061b":1})", R"({"x":null})", R"({"x":1,"ab":null})",
        R"({"a\"é":1})"}},
      {R"({"type": "object"})", {R"({})", R"({"x": {"y": [1]}})"}, {"[]", R"({"x"})"}},
      {R"({"type": "object", "required": ["k"]})", {R"({"k":1})", R"({"k":1,"z":2})"}, {"{}"}},
      {R"({"type": "object", "additionalProperties": false})", {"{}", "{ }"}, {R"({"a":1})"}},
      {R"({"type": "object", "additionalProperties": {"type": "boolean"}})",
       {"{}", R"({"a":true,"b":false})"},
       {R"({"a":1})"}},
      {R"({"properties": {"a": false, "b": true}, "required": ["b"]})",
       {R"({"b":1})"},
       {R"({"a":1,"b":1})"}},
  });
}

TEST(Schema, Arrays) {
  check({
      {R"({"type": "array", "items": {"type": "integer"}})",
       {"[]", "[1]", "[1, 2,3]", "[\n\t1,\n\t2\n]", "[ ]"},
       {"[1,]", "[,1]", "[\"a\"]", "[1 2]", "[1"}},
      {R"({"type": "array", "items": {"type": "null"}, "minItems": 2, "maxItems": 3})",
       {"[null,null]", "[null,null,null]"},
       {"[]", "[null]", "[null,null,null,null]"}},
      {R"({"type": "array", "items": {"enum": [1]}, "minItems": 7})",
       {"[1,1,1,1,1,1,1]", "[1,1,1,1,1,1,1, 1]"},
       {"[1,1,1,1,1,1]"}},
      {R"({"type": "array", "items": {"enum": [1]}, "maxItems": 6})",
       {"[]", "[1]", "[1,1,1,1,1,\n  1\n]"},
       {"[1,1,1,1,1,1,1]"}},
      {R"({"type": "array", "prefixItems": [{"type": "null"}, {"type": "boolean"}]})",
       {"[]", "[null]", "[null,true]"},
       {"[true]", "[null,true,1]"}},
      {R"({"type": "array", "prefixItems": [{"type": "null"}], "items": {"type": "integer"},
           "minItems": 1})",
       {"[null]", "[null,1]", "[null,1,2,3]"},
       {"[]", "[1]", "[null,null]"}},
      {R"({"type": "array", "prefixItems": [{"type": "null"}], "items": {"type": "integer"},
           "minItems": 3, "maxItems": 9})",
       {"[null,1,2]", "[null,1,2,3,4,5,6,7,8]"},
       {"[null,1]", "[null,1,2,3,4,5,6,7,8,9]"}},
      {R"({"type": "array", "items": false})", {"[]"}, {"[1]"}},
      {R"({"type": "array", "maxItems": 0})", {"[]"}, {"[1]"}},
      {R"({"type": "array"})", {"[]", "[1,\"a\",[]]"}, {"{}"}},
  });
}

TEST(Schema, ConstantsAndAlternatives) {
  check({
      {R"({"enum": ["a", 1, 1.5, null, true, "é\n", [1, 2], {"k": "v"}]})",
       {"\"a\"", "1", "1.5", "null", "true", "\"é\\n\"", "[1, 2]", "[1,2]", R"({"k":"v"})"},
       {"\"b\"", "2", "false", "[1]", "{}"}},
      {R"({"type": "string", "enum": ["a", 1]})", {"\"a\""}, {"1"}},
      {R"({"const": {"a": [], "b": {}}})", {R"({"a": [], "b": {}})"}, {R"({"b": {}, "a": []})"}},
      {R"({"enum": [1, 2, 3], "const": 2.0})", {"2"}, {"1", "2.0"}},
      {R"({"anyOf": [{"type": "integer"}, {"type": "string"}]})", {"1", "\"1\""}, {"null"}},
      {R"({"allOf": [{"type": "null"}], "description": "d"})", {"null"}, {"1"}},
      {R"({"oneOf": [{"type": "integer"}, {"type": "string"}, {"const": null}]})",
       {"1", "\"a\"", "null"},
       {"true"}},
      {R"({"oneOf": [
            {"type": "object", "properties": {"k": {"const": "a"}, "x": {"type": "integer"}},
             "required": ["k", "x"]},
            {"type": "object", "properties": {"k": {"enum": ["b", "c"]}}, "required": ["k"]}]})",
       {R"({"k":"a","x":1})", R"({"k":"c"})"},
       {R"({"k":"a"})", R"({"k":"b","x":1})"}},
      {R"({"oneOf": [{"type": "object", "properties": {"a": true}, "required": ["a"]},
                     {"type": "object", "properties": {"b": true}, "required": ["b"]}]})",
       {R"({"a":1})", R"({"b":1})"},
       {R"({"a":1,"b":1})", "{}"}},
  });
}

TEST(Schema, References) {
  check({
      {R"({"$defs": {"n": {"type": "object", "properties": {"v": {"type": "integer"},
             "next": {"anyOf": [{"$ref": "#/$defs/n"}, {"type": "null"}]}},
             "required": ["v", "next"]}}, "$ref": "#/$defs/n"})",
       {R"({"v":1,"next":null})", R"({"v":1,"next":{"v":2,"next":null}})"},
       {R"({"v":1})", R"({"v":1,"next":{"v":2}})"}},
      {R"({"type": "array", "items": {"$ref": "#"}})", {"[]", "[[],[[]]]"}, {"[1]", "[[]"}},
      {R"({"definitions": {"a/b~c d": {"type": "null"}}, "$ref": "#/definitions/a~1b~0c%20d"})",
       {"null"},
       {"1"}},
      {R"({"type": "object", "properties": {"a": {"type": "null"}, "b": {"$ref": "#/properties/a"}},
           "required": ["b"]})",
       {R"({"b":null})"},
       {R"({"b":1})"}},
      {R"({"prefixItems": [{"type": "null"}, {"$ref": "#/prefixItems/0"}], "minItems": 2})",
       {"[null,null]"},
       {"[null,1]"}},
  });
}

TEST(Schema, ObjectModeIsAnyObject) {
  const auto grammar = compile(GrammarSpec::Kind::json_object, "").value();
  for (const char* text : {"{}", R"({"a":[1,2.5e3,{"b":"c"}],"d":null})", "{\n  \"a\": true\n}"})
    EXPECT_TRUE(fits(grammar, text)) << text;
  for (const char* text : {"[]", "1", "{", "{}{}", "{\"a\"}", " {}"})
    EXPECT_FALSE(fits(grammar, text)) << text;
}

TEST(Schema, NestingIsBoundedAndStillCloses) {
  const auto grammar = compile_schema("true").value();
  GrammarState state(grammar);
  int depth = 0;
  while (state.advance('[')) ++depth;
  EXPECT_GE(depth, 60);
  EXPECT_LE(depth, 64);
  EXPECT_FALSE(state.advance('1'));  // a value in the innermost array would be one level more
  for (; depth > 0; --depth) EXPECT_TRUE(state.advance(']')) << depth;
  EXPECT_TRUE(state.ended());
}

struct Refusal {
  std::string schema;
  Errc code;
  std::string detail;
};

void check(const std::vector<Refusal>& refusals) {
  for (const Refusal& one : refusals) {
    const auto grammar = compile_schema(one.schema);
    ASSERT_FALSE(grammar.has_value()) << one.schema;
    EXPECT_EQ(grammar.error().code, one.code) << one.schema << ": " << grammar.error().detail;
    EXPECT_NE(grammar.error().detail.find(one.detail), std::string::npos)
        << one.schema << ": " << grammar.error().detail;
  }
}

TEST(Schema, WhatIsNotTakenIsNamedWithItsPath) {
  check({
      {R"({"type": "object", "properties": {"a": {"type": "integer", "multipleOf": 3}}})",
       Errc::unsupported, "$.properties.a: the keyword \"multipleOf\" is not supported"},
      {R"({"not": {}})", Errc::unsupported, "$: the keyword \"not\""},
      {R"({"type": "array", "items": {"uniqueItems": true}})", Errc::unsupported,
       "$.items: the keyword \"uniqueItems\""},
      {R"({"patternProperties": {}})", Errc::unsupported, "\"patternProperties\""},
      {R"({"items": {"$id": "x"}})", Errc::unsupported, "$.items: the keyword \"$id\""},
      {R"({"type": "string", "format": "ipv4"})", Errc::unsupported,
       "$.format: \"ipv4\" is not supported; there are date, time, date-time, uuid, email"},
      {R"x({"type": "string", "pattern": "a(?=b)"})x", Errc::unsupported,
       "$.pattern: pattern, byte 1: look-ahead"},
      {R"({"type": "string", "pattern": "a", "maxLength": 3})", Errc::unsupported,
       "$: \"pattern\", \"format\" and \"minLength\""},
      {R"({"type": "number", "minimum": 0.5})", Errc::unsupported, "$.minimum: bounds of numbers"},
      {R"({"type": "integer", "minimum": 1e18})", Errc::unsupported, "$.minimum: integers of more"},
      {R"({"$ref": "other.json"})", Errc::unsupported, "$.$ref: \"other.json\" is not supported"},
      {R"({"$ref": "#/$defs/x"})", Errc::not_found, "$.$ref: \"#/$defs/x\" names nothing"},
      {R"({"$ref": "#", "type": "null"})", Errc::unsupported, "\"type\" beside \"$ref\""},
      {R"({"enum": [1], "minimum": 0})", Errc::unsupported, "\"minimum\" beside \"enum\""},
      {R"({"anyOf": [true], "required": ["a"]})", Errc::unsupported,
       "\"required\" beside \"anyOf\""},
      {R"({"allOf": [{}, {}]})", Errc::unsupported, "$.allOf: more than one schema"},
      {R"({"oneOf": [{"type": "integer"}, {"type": "number"}]})", Errc::unsupported,
       "$.oneOf: alternatives 0 and 1 may both match"},
      {R"({"oneOf": [{"type": "null"}, {"type": "object", "properties": {"a": true}},
                     {"type": "object", "properties": {"b": true}}]})",
       Errc::unsupported, "$.oneOf: alternatives 1 and 2 may both match"},
      {R"({"oneOf": [{"type": "object", "properties": {"b": true}, "required": ["b"]},
                     {"type": "object", "properties": {"a": true}}]})",
       Errc::unsupported, "may both match"},
      {R"({"items": [true]})", Errc::unsupported, "$.items: a list is not supported"},
  });
}

TEST(Schema, WhatIsWrongIsNamedWithItsPath) {
  check({
      {R"({"type": "strnig"})", Errc::malformed, "$.type: \"strnig\" is no JSON type"},
      {R"({"type": []})", Errc::malformed, "$.type: an empty list"},
      {R"({"type": 1})", Errc::malformed, "$.type: a type is a string"},
      {R"({"properties": []})", Errc::malformed, "$.properties: an object of schemas"},
      {R"({"properties": {"a": 1}})", Errc::malformed, "$.properties.a: a schema is an object"},
      {R"({"required": "a"})", Errc::malformed, "$.required: a list of names"},
      {R"({"enum": 1})", Errc::malformed, "$.enum: a list of values"},
      {R"({"anyOf": []})", Errc::malformed, "$.anyOf: a list of schemas"},
      {R"({"minItems": -1})", Errc::malformed, "$.minItems: a whole number"},
      {R"({"maxLength": 1.5})", Errc::malformed, "$.maxLength: a whole number"},
      {R"({"exclusiveMinimum": true})", Errc::malformed, "$.exclusiveMinimum: a number"},
      {R"({"prefixItems": {}})", Errc::malformed, "$.prefixItems: a list of schemas"},
      {R"({"pattern": 1})", Errc::malformed, "$.pattern: a string"},
      {R"({"type": "null")", Errc::malformed, "JSON schema: not JSON at byte"},
      {R"({"enum": []})", Errc::invalid_argument, "$: no value is left"},
      {R"({"type": "string", "enum": [1]})", Errc::invalid_argument, "$: no value is left"},
      {R"({"required": ["a"], "additionalProperties": false})", Errc::invalid_argument,
       "$.required: \"a\" is required, but not declared"},
      {R"({"minItems": 3, "maxItems": 2})", Errc::invalid_argument, "$.minItems: more elements"},
      {R"({"minLength": 3, "maxLength": 2})", Errc::invalid_argument, "$.maxLength: below"},
      {R"({"type": "integer", "minimum": 3, "maximum": 2})", Errc::invalid_argument,
       "$: no integer is within the bounds"},
      {R"({"type": "number", "exclusiveMinimum": 2, "maximum": 2})", Errc::invalid_argument,
       "no text can satisfy"},
      {"false", Errc::invalid_argument, "no text can satisfy"},
      {R"({"$ref": "#"})", Errc::invalid_argument, "no text can satisfy"},
      {R"({"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"]})",
       Errc::invalid_argument, "no text can satisfy"},
      {R"({"anyOf": [{"$ref": "#"}, {"type": "null"}]})", Errc::invalid_argument,
       "leads back to itself"},
      {R"({"minLength": 10001})", Errc::resource_exhausted, "$.minLength"},
      {R"({"minItems": 10001})", Errc::resource_exhausted, "$.minItems"},
      {std::string(200, '[') + std::string(200, ']'), Errc::malformed, "nested deeper than 96"},
  });
}

}  // namespace
}  // namespace troupe::model
