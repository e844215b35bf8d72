//! Pieces of the OpenAPI document that derives cannot express.

use utoipa::openapi::{
    Object, ObjectBuilder, RefOr, Schema,
    schema::{SchemaType, Type},
};

/// Every form of a date in text. It leaves out 29 February, which is read where the year has one.
const DATE: &str = concat!(
    r"^((000[1-9]|00[1-9][0-9]|0[1-9][0-9]{2}|[1-9][0-9]{3})-",
    r"(0[1-9]|1[0-2]|((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)|02-(0[1-9]|1[0-9]|2[0-8]))",
    r"([Tt ]([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9](\.[0-9]{1,9})?)?([Zz]|[+-]([01][0-9]|2[0-3]):?[0-5][0-9])?)?)",
    r"|[0-9]{11,14})$"
);
const FIRST_MILLIS: i64 = -62_135_596_800_000;
const LAST_MILLIS: i64 = 253_402_300_799_999;

fn of(types: impl IntoIterator<Item = Type>) -> ObjectBuilder {
    ObjectBuilder::new().schema_type(types.into_iter().collect::<SchemaType>())
}

fn text(example: &str) -> Object {
    of([Type::String, Type::Number, Type::Boolean])
        .min_length(Some(1))
        .max_length(Some(1024))
        .examples([example])
        .build()
}

/// Text, or a number or boolean that is taken as its text.
pub(super) fn user_id() -> impl Into<RefOr<Schema>> {
    text("user1")
}

/// Text, or a number or boolean that is taken as its text.
pub(super) fn action() -> impl Into<RefOr<Schema>> {
    text("login")
}

/// A date in text, or milliseconds since 1970, or null.
pub(super) fn timestamp() -> impl Into<RefOr<Schema>> {
    of([Type::String, Type::Number, Type::Null])
        .pattern(Some(DATE))
        .minimum(Some(FIRST_MILLIS))
        .maximum(Some(LAST_MILLIS))
        .description(Some(
            "When it happened: an ISO 8601 date, month or date-time, or milliseconds since 1970. The time of receiving \
             where it is absent.",
        ))
        .examples(["2025-05-21T12:34:56.789Z"])
        .build()
}

/// A date in a query.
pub(super) fn date() -> impl Into<RefOr<Schema>> {
    of([Type::String]).pattern(Some(DATE)).examples(["2025-05-21"]).build()
}
