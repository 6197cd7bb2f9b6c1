//! Bodies of the reference's own routes: read without asking for a content type, and answered as
//! plain `application/json`, which is what its clients know.

use std::marker::PhantomData;

use poem::{IntoResponse, Request, RequestBody, Response, error::ReadBodyError, web};
use poem_openapi::{
    ApiExtractor, ApiExtractorType, ExtractParamOptions,
    payload::Payload,
    registry::{MetaMediaType, MetaRequest, MetaSchemaRef, Registry},
    types::{ToJSON, Type},
};
use serde_json::Value;
use skein_wire::limit;

const JSON: &str = "application/json";

/// What was sent where a `T` is expected. What is wrong with it is the route's to say.
#[derive(Debug)]
pub enum Sent<T> {
    /// Some JSON.
    Json(Value, PhantomData<T>),
    /// Something else, and why it cannot be read.
    Unreadable(String),
    /// More than [`limit::HTTP_BODY_BYTES_MAX`].
    TooLarge,
}

impl<'a, T: Type> ApiExtractor<'a> for Sent<T> {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::RequestObject];

    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        T::register(registry);
    }

    fn request_meta() -> Option<MetaRequest> {
        let content = vec![MetaMediaType { content_type: JSON, schema: T::schema_ref() }];
        Some(MetaRequest { description: None, content, required: true })
    }

    async fn from_request(
        _: &'a Request,
        body: &mut RequestBody,
        _: ExtractParamOptions<()>,
    ) -> poem::Result<Self> {
        Ok(match body.take()?.into_bytes_limit(limit::HTTP_BODY_BYTES_MAX).await {
            Err(ReadBodyError::PayloadTooLarge) => Self::TooLarge,
            Err(error) => Self::Unreadable(error.to_string()),
            Ok(bytes) => match serde_json::from_slice(&bytes) {
                Ok(value) => Self::Json(value, PhantomData),
                Err(error) => Self::Unreadable(format!("the body is not JSON: {error}")),
            },
        })
    }
}

/// What was sent where a `T` is expected, byte by byte.
#[derive(Debug)]
pub enum Raw<T> {
    /// The body.
    Bytes(Vec<u8>, PhantomData<T>),
    /// It broke off.
    Unreadable,
    /// More than [`limit::HTTP_BODY_BYTES_MAX`].
    TooLarge,
}

impl<'a, T: Type> ApiExtractor<'a> for Raw<T> {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::RequestObject];

    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        T::register(registry);
    }

    fn request_meta() -> Option<MetaRequest> {
        let content = vec![MetaMediaType { content_type: JSON, schema: T::schema_ref() }];
        Some(MetaRequest { description: None, content, required: true })
    }

    async fn from_request(
        _: &'a Request,
        body: &mut RequestBody,
        _: ExtractParamOptions<()>,
    ) -> poem::Result<Self> {
        Ok(match body.take()?.into_bytes_limit(limit::HTTP_BODY_BYTES_MAX).await {
            Err(ReadBodyError::PayloadTooLarge) => Self::TooLarge,
            Err(_) => Self::Unreadable,
            Ok(bytes) => Self::Bytes(bytes.to_vec(), PhantomData),
        })
    }
}

/// An answer.
#[derive(Debug)]
pub struct Plain<T>(pub T);

impl<T: Type> Payload for Plain<T> {
    const CONTENT_TYPE: &'static str = JSON;

    fn schema_ref() -> MetaSchemaRef {
        T::schema_ref()
    }

    fn register(registry: &mut Registry) {
        T::register(registry);
    }
}

impl<T: ToJSON> IntoResponse for Plain<T> {
    fn into_response(self) -> Response {
        web::Json(self.0.to_json()).with_content_type(JSON).into_response()
    }
}
