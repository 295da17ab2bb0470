//! `jeton.v1.ResourceService`: resources that are registered at run time.

use super::fields::{Fields, signed};
use super::registration::{self, page};
use super::{Api, allow, api, parsed, refused, status};
use crate::service::resources::ResourceState;
use crate::transport::caller::Permission;
use api::resource_service_server::ResourceService;
use jeton_domain::client::Algorithm;
use jeton_domain::details::DetailsType;
use jeton_domain::name::ResourceId;
use jeton_domain::policy::AuthenticationPolicy;
use jeton_domain::resource::{Resource, TokenFormat};
use jeton_domain::time::Millis;
use tonic::{Request, Response, Status};

#[tonic::async_trait]
impl ResourceService for Api {
    async fn create_resource(
        &self,
        request: Request<api::CreateResourceRequest>,
    ) -> Result<Response<api::CreateResourceResponse>, Status> {
        let read = allow(&request, Permission::WriteRegistry).and_then(|_caller| {
            let mut fields = Fields::default();
            let resource = resource(&mut fields, request.into_inner().resource);
            fields.done().and_then(|()| parsed(resource))
        });
        let resource = read.map_err(status::of)?;
        let resource = self.service.create_resource(resource).await.map_err(refused)?;
        Ok(Response::new(api::CreateResourceResponse { resource: Some(registered(&resource)) }))
    }

    async fn get_resource(
        &self,
        request: Request<api::GetResourceRequest>,
    ) -> Result<Response<api::GetResourceResponse>, Status> {
        let read = allow(&request, Permission::ReadRegistry).and_then(|_caller| {
            let id = ResourceId::parse("resource", &request.into_inner().resource)?;
            Ok(id)
        });
        let id = read.map_err(status::of)?;
        let resource = self.service.get_resource(&id).await.map_err(refused)?;
        Ok(Response::new(api::GetResourceResponse { resource: Some(registered(&resource)) }))
    }

    async fn list_resources(
        &self,
        request: Request<api::ListResourcesRequest>,
    ) -> Result<Response<api::ListResourcesResponse>, Status> {
        let read = allow(&request, Permission::ReadRegistry).and_then(|_caller| {
            let asked = request.into_inner();
            page(asked.page_size, &asked.page_token)
        });
        let asked = read.map_err(status::of)?;
        let page = self.service.list_resources(&asked).await.map_err(refused)?;
        Ok(Response::new(api::ListResourcesResponse {
            resources: page.entries.iter().map(registered).collect(),
            next_page_token: page.next.unwrap_or_default(),
        }))
    }

    async fn update_resource(
        &self,
        request: Request<api::UpdateResourceRequest>,
    ) -> Result<Response<api::UpdateResourceResponse>, Status> {
        let read = allow(&request, Permission::WriteRegistry).and_then(|_caller| {
            let mut fields = Fields::default();
            let asked = request.into_inner();
            let etag = registration::etag(&mut fields, &asked.etag);
            let etag = fields.required("etag", etag);
            let resource = resource(&mut fields, asked.resource);
            fields.done().and_then(|()| Ok((parsed(resource)?, parsed(etag)?)))
        });
        let (resource, etag) = read.map_err(status::of)?;
        let resource = self.service.update_resource(resource, &etag).await.map_err(refused)?;
        Ok(Response::new(api::UpdateResourceResponse { resource: Some(registered(&resource)) }))
    }

    async fn delete_resource(
        &self,
        request: Request<api::DeleteResourceRequest>,
    ) -> Result<Response<api::DeleteResourceResponse>, Status> {
        let read = allow(&request, Permission::WriteRegistry).and_then(|_caller| {
            let mut fields = Fields::default();
            let asked = request.into_inner();
            let id = fields.get(ResourceId::parse("resource", &asked.resource));
            let etag = registration::etag(&mut fields, &asked.etag);
            fields.done().and_then(|()| Ok((parsed(id)?, etag)))
        });
        let (id, etag) = read.map_err(status::of)?;
        self.service.delete_resource(&id, etag.as_deref()).await.map_err(refused)?;
        Ok(Response::new(api::DeleteResourceResponse {}))
    }
}

fn resource(fields: &mut Fields, message: Option<api::Resource>) -> Option<Resource> {
    let api::Resource {
        resource,
        scopes,
        format,
        algorithm,
        access_token_lifetime,
        acr_values,
        amr_values,
        max_age,
        authorization_details_types,
    } = fields.required("resource", message)?;
    let id = fields.get(ResourceId::parse("resource.resource", &resource));
    let format =
        registration::word(fields, "resource.format", &format, TokenFormat::ALL.map(TokenFormat::word), TokenFormat::parse);
    let algorithms = Algorithm::ALL.map(Algorithm::word);
    let algorithm = registration::word(fields, "resource.algorithm", &algorithm, algorithms, Algorithm::parse);
    let values = |fields: &mut Fields, field: &str, texts: &[String]| {
        registration::each(fields, field, texts, |_, text| Ok(text.to_owned()))
    };
    let max_age = registration::lifetime(fields, "resource.max_age", max_age, Resource::MAX_AGE);
    Some(Resource {
        scopes: registration::scopes(fields, "resource.scopes", &scopes),
        details_types: registration::each(
            fields,
            "resource.authorization_details_types",
            &authorization_details_types,
            DetailsType::parse,
        ),
        format: format.unwrap_or_default(),
        algorithm: algorithm.unwrap_or_default(),
        access_token_lifetime: registration::lifetime(
            fields,
            "resource.access_token_lifetime",
            access_token_lifetime,
            Resource::ACCESS_TOKEN_LIFETIME,
        ),
        policy: AuthenticationPolicy {
            acr_values: values(fields, "resource.acr_values", &acr_values),
            amr_values: values(fields, "resource.amr_values", &amr_values),
            max_age: Some(max_age).filter(|age| *age != Millis::ZERO),
        },
        id: id?,
    })
}

fn registered(state: &ResourceState) -> api::RegisteredResource {
    let ResourceState { resource, registered } = state;
    let at = registered.as_ref();
    api::RegisteredResource {
        resource: Some(message(resource)),
        etag: at.map(|at| at.etag.clone()).unwrap_or_default(),
        read_only: at.is_none(),
        created_at: at.map_or(0, |at| signed(at.created_at.secs())),
        updated_at: at.map_or(0, |at| signed(at.changed_at.secs())),
    }
}

fn message(resource: &Resource) -> api::Resource {
    let Resource { id, scopes, details_types, format, algorithm, access_token_lifetime, policy } = resource;
    let AuthenticationPolicy { acr_values, amr_values, max_age } = policy;
    api::Resource {
        resource: id.to_string(),
        scopes: scopes.iter().map(str::to_owned).collect(),
        format: format.word().into(),
        algorithm: algorithm.word().into(),
        access_token_lifetime: signed(access_token_lifetime.secs()),
        acr_values: acr_values.clone(),
        amr_values: amr_values.clone(),
        max_age: max_age.map_or(0, |age| signed(age.secs())),
        authorization_details_types: details_types.iter().map(ToString::to_string).collect(),
    }
}
