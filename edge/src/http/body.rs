//! Bodies of our routes: JSON that is exactly what the document says.
//!
//! The framework takes numbers and booleans for texts; serde does not. So a body is read by both:
//! one knows the limits, the other the types.

use std::ops::Deref;

use poem::{Body as Bytes, Request, RequestBody};
use poem_openapi::{
    ApiExtractor, ApiExtractorType, ExtractParamOptions,
    payload::Json,
    registry::{MetaRequest, Registry},
    types::{ParseFromJSON, Type},
};
use serde::de::DeserializeOwned;
use skein_wire::{Code, limit};

use super::Fault;

/// A body that was read.
#[derive(Debug)]
pub struct Body<T>(pub T);

impl<T> Deref for Body<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<'a, T: Type + ParseFromJSON + DeserializeOwned> ApiExtractor<'a> for Body<T> {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::RequestObject];

    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        <Json<T> as ApiExtractor>::register(registry);
    }

    fn request_meta() -> Option<MetaRequest> {
        <Json<T> as ApiExtractor>::request_meta()
    }

    async fn from_request(
        request: &'a Request,
        body: &mut RequestBody,
        options: ExtractParamOptions<()>,
    ) -> poem::Result<Self> {
        let bytes = body.take()?.into_bytes_limit(limit::HTTP_BODY_BYTES_MAX).await;
        let bytes = bytes.map_err(|_| Fault::new(Code::TooLarge))?;
        let mut again = RequestBody::new(Bytes::from_bytes(bytes.clone()));
        let Json(read) =
            <Json<T> as ApiExtractor>::from_request(request, &mut again, options).await?;
        let typed = serde_json::from_slice::<T>(&bytes);
        typed.map_err(|error| Fault::with(Code::InvalidRequest, error.to_string()))?;
        Ok(Self(read))
    }
}
